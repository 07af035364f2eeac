"""A chat completion as it was asked for: whose it is, which messages are new, what is forwarded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from memory_service.core.errors import InvalidRequest
from memory_service.items.chat_messages import OUR_FIELDS, Message
from memory_service.items.conversation_items import SYSTEM_ROLES, check_id, check_user_id
from memory_service.items.strict_json import dumps, raw_elements
from memory_service.prompts.request import ScopeName

Mode = Literal["off", "read", "on"]
"""What a request may do with memory: nothing, be told what is remembered, or be remembered too."""


@dataclass(frozen=True, slots=True)
class Headers:
    """What a request's headers say about memory."""

    conversation_id: str | None = None
    user: str | None = None
    mode: Mode = "on"
    scope: ScopeName | None = None
    top_k: int | None = None
    token_budget: int | None = None


@dataclass(frozen=True)
class ChatRequest:
    """One request: its body as text and as a value, and what goes upstream beside the body."""

    text: str
    body: Mapping[str, Any]
    headers: Headers = field(default_factory=Headers)
    is_retry: bool = False
    authorization: str | None = None
    forwarded_headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def conversation_id(self) -> str | None:
        """The conversation's id: of the header, else of the metadata, else of the body."""
        metadata = self.body.get("metadata")
        conversation = self.body.get("conversation")
        if isinstance(conversation, Mapping):
            conversation = conversation.get("id")
        given = (
            ("x-conversation-id", self.headers.conversation_id),
            (
                "metadata.conversation_id",
                metadata.get("conversation_id") if isinstance(metadata, Mapping) else None,
            ),
            ("conversation", conversation),
        )
        return _first_id(given, check_id)

    @cached_property
    def user(self) -> str | None:
        """The user's id: of the header, else `user`, else `safety_identifier`."""
        return _first_id(
            (
                ("x-user-id", self.headers.user),
                ("user", self.body.get("user")),
                ("safety_identifier", self.body.get("safety_identifier")),
            ),
            check_user_id,
        )

    @cached_property
    def has_memory(self) -> bool:
        """Whether there is anything to remember this request under."""
        return self.headers.mode != "off" and bool(self.conversation_id or self.user)

    @cached_property
    def messages(self) -> Sequence[Message]:
        """The messages; raises InvalidRequest if they are none."""
        messages = self.body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest(
                "'messages' must be a list of at least one message.",
                param="messages",
                code="missing_field",
            )
        for number, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise InvalidRequest(
                    f"'messages.{number}' must be an object with a role.",
                    param=f"messages.{number}",
                    code="invalid_type",
                )
        return messages

    @cached_property
    def system(self) -> Sequence[Message]:
        """The system messages, wherever they stood: a strict template wants them first."""
        return [_without_ours(one) for one in self.messages if one["role"] in SYSTEM_ROLES]

    @cached_property
    def said(self) -> Sequence[tuple[int, Message]]:
        """The other messages with their places."""
        return [
            (place, message)
            for place, message in enumerate(self.messages)
            if message["role"] not in SYSTEM_ROLES
        ]

    @cached_property
    def raws(self) -> Sequence[str]:
        """The exact JSON of each message."""
        return raw_elements(self.text, "messages")

    @property
    def model(self) -> str | None:
        """The model's name."""
        model = self.body.get("model")
        return model if isinstance(model, str) else None

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """What the prompt holds beside messages: tools, functions, the schema of the answer."""
        found = [
            one
            for name in ("tools", "functions")
            for one in _list(self.body.get(name))
            if isinstance(one, Mapping)
        ]
        schema = self.body.get("response_format")
        if isinstance(schema, Mapping) and schema.get("type") == "json_schema":
            found.append(schema)
        return found

    @property
    def max_output_tokens(self) -> int | None:
        """The tokens that the client lets the answer take."""
        for name in ("max_completion_tokens", "max_tokens"):
            value = self.body.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
        return None

    def content(self, messages: Sequence[Message] | None = None) -> bytes:
        """Return the body to forward: our own fields gone, the messages replaced if given."""
        body = dict(self.body)
        body.pop("conversation", None)
        metadata = body.get("metadata")
        if isinstance(metadata, Mapping) and "conversation_id" in metadata:
            body["metadata"] = {k: v for k, v in metadata.items() if k != "conversation_id"}
            if not body["metadata"]:
                del body["metadata"]
        if messages is not None:
            body["messages"] = list(messages)
        elif self.has_memory:
            body["messages"] = [_without_ours(one) for one in self.messages]
        # What needs no change goes on as it came, to the byte.
        return (self.text if body == self.body else dumps(body)).encode()


def _list(value: object) -> Sequence[object]:
    """Return a list; whatever else a body has in its place is the upstream's to refuse."""
    return value if isinstance(value, list) else ()


def _without_ours(message: Message) -> Message:
    return {key: value for key, value in message.items() if key not in OUR_FIELDS}


def _first_id(given: Sequence[tuple[str, Any]], check: Callable[[Any, str], str]) -> str | None:
    for param, value in given:
        if value is not None:
            return check(value, param)
    return None
