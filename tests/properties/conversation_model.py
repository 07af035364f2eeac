"""What was said in generated conversations, and by whom it has to be remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.upstream import Message

Messages = list[dict[str, Any]]

PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)

COMMON = ("hi", "ok")
"""Texts that are said again and again."""

PREFIXES: Mapping[str, Messages] = {
    "none": [],
    "greeting": [{"role": "assistant", "content": "Hello! How can I help you today?"}],
    "examples": [
        {"role": "user", "content": "What is two plus two?"},
        {"role": "assistant", "content": "It is four."},
        {"role": "user", "content": "What is three plus three?"},
        {"role": "assistant", "content": "It is six."},
    ],
}
"""Messages with which a client begins every session."""


class Identity(NamedTuple):
    """What makes two spellings of a message the same message."""

    role: str
    text: str
    calls: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: Message) -> Identity:
        """Return the identity of a message as it was sent or stored."""
        calls = tuple(call["id"] for call in message.get("tool_calls") or ())
        if message["role"] == "tool":
            calls = (message["tool_call_id"],)
        return cls(message["role"], plain_text(message), calls)

    @property
    def is_common(self) -> bool:
        """Whether the message may be said more than once."""
        prefixes = (message for prefix in PREFIXES.values() for message in prefix)
        return self.text in COMMON or self in {Identity.of(message) for message in prefixes}


def plain_text(message: Message) -> str:
    """Return the text of a message; other parts are left out."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content.strip()
    return "\n".join(part["text"] for part in content if part.get("text")).strip()


def identities(messages: Iterable[Message]) -> list[Identity]:
    """Return the identities of messages."""
    return [Identity.of(message) for message in messages]


@dataclass
class Session:
    """A client's talk: what it shows, and how it says who is speaking.

    `prefix` is what the client sends before the history; `conversation` is the id that the last
    response had. `scope` is where everything said can be searched. A session has `began_anew` if
    its first message was edited.
    """

    headers: Mapping[str, str]
    fields: Mapping[str, Any]
    scope: Mapping[str, str]
    prefix: Messages
    is_alone: bool
    history: Messages = field(default_factory=list)
    conversation: str | None = None
    began_anew: bool = False

    @property
    def waits(self) -> bool:
        """Whether the last message of the history has no answer."""
        return bool(self.history) and self.history[-1]["role"] == "user"

    @property
    def is_findable(self) -> bool:
        """Whether the service can find the conversation: by its id, or by an answer in it."""
        roles = {entry["role"] for entry in self.history}
        return bool(self.headers) or not roles or "assistant" in roles

    @property
    def is_distinct(self) -> bool:
        """Whether the end of the history cannot be that of another session."""
        last = identities(self.history[-2:])
        return self.is_alone or (len(last) == 2 and not any(entry.is_common for entry in last))


@dataclass
class Said:
    """Everything said in a run: how often, where it can be searched, and what an edit left."""

    times: Counter[Identity] = field(default_factory=Counter)
    scopes: dict[Identity, Mapping[str, str]] = field(default_factory=dict)
    left: set[Identity] = field(default_factory=set)

    def add(self, session: Session, messages: Iterable[Message]) -> None:
        """Add messages that were said for the first time."""
        for identity in identities(messages):
            self.times[identity] += 1
            self.scopes[identity] = session.scope

    def leave(self, messages: Sequence[Message]) -> None:
        """Note that an edit or another answer has taken the place of messages."""
        self.left.update(identities(messages))

    def searchable(self) -> Iterable[Identity]:
        """Return what a search has to find: texts of persons and models that nobody edited."""
        return [
            identity
            for identity in self.times
            if identity not in self.left
            and identity.role in {"user", "assistant"}
            and identity.text
            and not identity.is_common
        ]
