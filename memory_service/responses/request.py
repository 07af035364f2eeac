"""A request for a response: its input as items, in the form that the gateway's stages take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from memory_service.core.errors import InvalidRequest
from memory_service.gateway.request import AppendPoint, ChatRequest, HistoryMessage
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.strict_json import dumps, raw_elements
from memory_service.responses.chat.messages import messages_of
from memory_service.responses.chat.request import response_format
from memory_service.responses.objects import Item, mappings


@dataclass(frozen=True)
class ResponseRequest(ChatRequest):
    """A request whose messages are the items of its input.

    `items` are these items, and `raw_items` the JSON of each. They are in the conversation with the
    id `named_conversation`, if that is known already. `stored_system` are the system items
    of the conversation that it continues; those among them that are not its turns are
    `unstored_system` too. `point` is where the input is appended; None if the input is a history
    that is sent again. An `is_unnamed` conversation exists only for its responses.
    """

    items: Sequence[Item] = ()
    raw_items: Sequence[str] = ()
    stored_system: Sequence[Item] = ()
    unstored_system: Sequence[Item] = ()
    named_conversation: str | None = None
    point: AppendPoint | None = None
    is_unnamed: bool = False

    messages_field: ClassVar[str] = "input"
    may_skip_memory: ClassVar[bool] = False

    @property
    def begins_unnamed(self) -> bool:
        """Whether the request begins a conversation that nobody can find without its response."""
        return self.is_unnamed and self.body.get("previous_response_id") is None

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation."""
        return self.named_conversation

    @property
    def append_point(self) -> AppendPoint | None:
        """Where all items are appended; None if they are a history that is sent again."""
        return self.point

    @property
    def messages(self) -> Sequence[Item]:
        """The items."""
        return self.items

    @property
    def raw_messages(self) -> Sequence[str]:
        """The JSON of each item."""
        return self.raw_items

    @cached_property
    def system_items(self) -> Sequence[Item]:
        """The messages of the system among the items."""
        return [item for item in self.items if item.get("role") in SYSTEM_ROLES]

    @cached_property
    def system_messages(self) -> Sequence[Message]:
        """The instructions and the messages of the system, as messages of chat completions."""
        instructions = self.body.get("instructions")
        first = [{"role": "system", "content": instructions}] if instructions else []
        return [*first, *messages_of([*self.stored_system, *self.system_items])]

    @cached_property
    def history(self) -> Sequence[HistoryMessage]:
        """The items to store: all that are appended, those of the system first.

        Of a history that is sent again, the messages of the system are not stored.
        """
        entries = [HistoryMessage(position, item) for position, item in enumerate(self.items)]
        system = [entry for entry in entries if entry.message.get("role") in SYSTEM_ROLES]
        others = [entry for entry in entries if entry.message.get("role") not in SYSTEM_ROLES]
        return others if self.point is None else [*system, *others]

    @property
    def forwarded_history(self) -> Sequence[Message]:
        """Nothing: a prompt has the stored items, and the upstream's API decides their form."""
        return ()

    @property
    def chat_messages(self) -> Sequence[Message]:
        """The system messages and the input, as messages of chat completions."""
        others = [item for item in self.items if item.get("role") not in SYSTEM_ROLES]
        return [*self.system_messages, *messages_of(others)]

    @property
    def newest_messages(self) -> Sequence[Message]:
        """The newest item, as messages of chat completions."""
        return messages_of(entry.message for entry in self.history[-1:])

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The parts of a prompt that are not messages: tools, the answer's schema."""
        schema = response_format(self.body.get("text"))
        return [*mappings(self.body.get("tools")), *([] if schema is None else [schema])]

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens that the client allows the answer."""
        value = self.body.get("max_output_tokens")
        return value if type(value) is int and value >= 0 else None


def check_body(body: Mapping[str, Any]) -> None:
    """Raise InvalidRequest for parameters that cannot be served, or not together."""
    if body.get("background"):
        raise InvalidRequest(
            "'background' must be false: responses are not run in the background. Use 'stream' "
            "for answers that take long.",
            param="background",
            code="unsupported_parameter",
        )
    if body.get("previous_response_id") and body.get("conversation"):
        raise InvalidRequest(
            "'previous_response_id' cannot be used together with 'conversation'.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )


def input_items(body: Mapping[str, Any]) -> list[Item]:
    """Return the items of an input; raises InvalidRequest for anything but a string or a list.

    A stored prompt of the model's server may have its own input.
    """
    sent = body.get("input")
    if sent is None and body.get("prompt") is not None:
        return []
    if isinstance(sent, str):
        return [{"role": "user", "content": sent}]
    if isinstance(sent, list) and all(isinstance(item, Mapping) for item in sent) and sent:
        return list(sent)
    raise InvalidRequest(
        "'input' must be a string, or a list of at least one item.",
        param="input",
        code="missing_field" if sent is None else "invalid_type",
    )


def raw_input(text: str, body: Mapping[str, Any], items: Sequence[Item]) -> list[str]:
    """Return the JSON of each item, byte for byte as it was sent."""
    if isinstance(body.get("input"), str):
        return [dumps(item) for item in items]
    return raw_elements(text, "input")
