"""A request for a chat completion: its identity, its messages, its forwarded body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NO_CALLER_KEY, CallerKey
from memory_service.identity.identify import Caller, Identity, identify
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.storable_messages import storable_message
from memory_service.items.strict_json import (
    dumps,
    encoded,
    escaped_surrogates,
    raw_elements,
    rewritten,
    storable_json,
    with_member,
)
from memory_service.prompts.request import ScopeName

# Fields of a stored item that a client may set, or send back as it has read them.
_OUR_FIELDS = frozenset({"id", "created_at", "metadata", "status", "type"})

MemoryMode = Literal["off", "read", "on"]
"""What a request may do with memory: nothing, recall, or recall and store."""


@dataclass(frozen=True, slots=True)
class MemoryHeaders:
    """The headers of a request about memory; for None the body or the settings decide."""

    mode: MemoryMode = "on"
    scope: ScopeName | None = None
    top_k: int | None = None
    token_budget: int | None = None


class HistoryMessage(NamedTuple):
    """A message that is not a system message, as it can be stored; its position in `messages`."""

    position: int
    message: Message


class AppendPoint(NamedTuple):
    """Where new messages of a request are appended: below a turn, or (None) below the head."""

    turn_key: int | None


@dataclass(frozen=True)
class ChatRequest:
    """A request for a chat completion: its body as text and parsed, and the headers to forward.

    `authorization` is the caller's key for the upstream, `upstream_name` the upstream that the
    caller asks for. `unreadable` is the code of the reason why the body could not be parsed; it is
    then empty.
    """

    text: str
    body: Mapping[str, Any]
    headers: MemoryHeaders = field(default_factory=MemoryHeaders)
    caller: Caller = field(default_factory=Caller)
    is_retry: bool = False
    authorization: CallerKey = NO_CALLER_KEY
    forwarded_headers: Mapping[str, str] = field(default_factory=dict)
    upstream_name: str | None = None
    unreadable: str | None = None

    messages_field: ClassVar[str] = "messages"
    """The field of the body with the messages, which errors name."""
    may_skip_memory: ClassVar[bool] = True
    """Whether a request that memory cannot take is forwarded without memory."""

    @cached_property
    def identity(self) -> Identity:
        """Who sent the request, and in which conversation; raises Forbidden for another's key."""
        return identify(self.caller, self.body)

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation that the request names."""
        return self.identity.conversation_id

    @property
    def user(self) -> str | None:
        """The id of the user that the request names."""
        return self.identity.user

    @property
    def skipped(self) -> str | None:
        """Why a request that could have memory is no conversation; None if it is one."""
        return self.identity.skipped if self._names_somebody else None

    @property
    def has_memory(self) -> bool:
        """Whether memory is on and the request is conversation and names it or a user."""
        return self._names_somebody and self.identity.skipped is None

    @property
    def _names_somebody(self) -> bool:
        return self.headers.mode != "off" and bool(self.conversation_id or self.user)

    @cached_property
    def messages(self) -> Sequence[Message]:
        """The messages as sent; raises InvalidRequest if the body has none, or malformed ones."""
        messages = self.body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest(
                "'messages' must be a list of at least one message.",
                param="messages",
                code="missing_field",
            )
        for index, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise InvalidRequest(
                    f"'messages.{index}' must be an object with a role.",
                    param=f"messages.{index}",
                    code="invalid_type",
                )
        return messages

    @cached_property
    def system_messages(self) -> Sequence[Message]:
        """The system messages at any position: strict chat templates require them first."""
        return [
            without_our_fields(message)
            for message in self.messages
            if message["role"] in SYSTEM_ROLES
        ]

    @cached_property
    def history(self) -> Sequence[HistoryMessage]:
        """The messages without system messages, in the form in which they are stored."""
        return [
            HistoryMessage(position, storable_message(message))
            for position, message in enumerate(self.messages)
            if message["role"] not in SYSTEM_ROLES
        ]

    @cached_property
    def forwarded_history(self) -> Sequence[Message]:
        """The history as it is forwarded; empty if stored turns stand for it."""
        return [without_our_fields(self.messages[entry.position]) for entry in self.history]

    @property
    def append_point(self) -> AppendPoint | None:
        """Where all messages are appended; None if they are a history that is sent again."""
        return None

    @property
    def chat_messages(self) -> Sequence[Message]:
        """The messages in the form of chat completions, in which their tokens are counted."""
        return self.messages

    @property
    def newest_messages(self) -> Sequence[Message]:
        """The newest message, which every prompt contains, in the form of chat completions."""
        return [entry.message for entry in self.history[-1:]]

    @cached_property
    def raw_messages(self) -> Sequence[str]:
        """The exact JSON of each message."""
        return raw_elements(self.text, "messages")

    def storable_json(self, entry: HistoryMessage) -> str:
        """Return the JSON of a message to store: exactly as sent, if the log can hold that."""
        if entry.message is self.messages[entry.position]:
            return storable_json(self.raw_messages[entry.position], entry.message)
        return escaped_surrogates(dumps(entry.message))

    @property
    def model(self) -> str | None:
        """The name of the model."""
        model = self.body.get("model")
        return model if isinstance(model, str) else None

    def for_model(self, model: str | None) -> Self:
        """Return the request for another model: the upstream's name of it, or that of a path."""
        if model is None or model == self.body.get("model") or not self.body:
            return self
        text = with_member(self.text, "model", model)
        return replace(self, text=text, body={**self.body, "model": model})

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The parts of a prompt that are not messages: tools, functions, the answer's schema."""
        tools = [
            tool
            for name in ("tools", "functions")
            for tool in _list_or_empty(self.body.get(name))
            if isinstance(tool, Mapping)
        ]
        schema = self.body.get("response_format")
        if isinstance(schema, Mapping) and schema.get("type") == "json_schema":
            return [*tools, schema]
        return tools

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens that the client allows the answer."""
        for name in ("max_completion_tokens", "max_tokens"):
            value = self.body.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
        return None

    def forwarded_body(self, messages: Sequence[Message] | None = None) -> bytes:
        """Return the body for the upstream: without our own fields, with `messages` if given.

        An unchanged body is forwarded byte for byte. In a changed one, the members and messages
        that are not changed keep their exact JSON.
        """
        body = {name: value for name, value in self.body.items() if name != "conversation"}
        metadata = body.get("metadata")
        if isinstance(metadata, Mapping) and "conversation_id" in metadata:
            body["metadata"] = {k: v for k, v in metadata.items() if k != "conversation_id"}
            if not body["metadata"]:
                del body["metadata"]
        if messages is not None:
            body["messages"] = list(messages)
        elif self.has_memory and isinstance(body.get("messages"), list):
            body["messages"] = [
                without_our_fields(message) if isinstance(message, Mapping) else message
                for message in body["messages"]
            ]
        if body == self.body:
            # With the surrogates that the body was decoded with.
            return self.text.encode("utf-8", "surrogatepass")
        return encoded(rewritten(self.text, self.body, body, self._raws_by_object(body)))

    def _raws_by_object(self, body: Mapping[str, Any]) -> Mapping[int, str]:
        """Return the exact JSON of the client's messages, by the `id` of their objects."""
        if body.get("messages") is self.body.get("messages"):
            return {}
        return {
            id(message): raw
            for message, raw in zip(self.body["messages"], self.raw_messages, strict=True)
        }


def _list_or_empty(value: object) -> Sequence[object]:
    """Return a list; a value of another type is left for the upstream to reject."""
    return value if isinstance(value, list) else ()


def without_our_fields(message: Message) -> Message:
    """Return a message without the fields that are for the service and not for the model."""
    if _OUR_FIELDS.isdisjoint(message):
        return message
    return {name: value for name, value in message.items() if name not in _OUR_FIELDS}
