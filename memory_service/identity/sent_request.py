"""What identity is read from: headers and fields by name, and the texts of a request.

The body is that of a chat completion or of a response: `messages`, or `instructions` and `input`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from memory_service.items.conversation_items import SYSTEM_ROLES


@dataclass(frozen=True)
class SentRequest:
    """The headers of a request, by names in lower case, and its body."""

    headers: Mapping[str, str]
    body: Mapping[str, Any]

    def field(self, path: str) -> Any:
        """Return a field by its path, such as `metadata.session_id`; None if there is none."""
        value: Any = self.body
        for name in path.split("."):
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value

    @cached_property
    def system_text(self) -> str:
        """The text of the first system message, or the instructions."""
        instructions = self.body.get("instructions")
        if isinstance(instructions, str) and instructions:
            return instructions
        for message in self._messages:
            if message.get("role") in SYSTEM_ROLES:
                return _text(message)
        return ""

    @cached_property
    def last_message(self) -> Mapping[str, Any] | None:
        """The last message if it is the user's."""
        last: Mapping[str, Any] | None = self._history[-1] if self._history else None
        return last if last is not None and last.get("role") == "user" else None

    @property
    def last_text(self) -> str:
        """The text of the last message if it is the user's."""
        return "" if self.last_message is None else _text(self.last_message)

    @property
    def only_text(self) -> str:
        """The text of the user's message if there is no other; system messages do not count."""
        return self.last_text if len(self._history) == 1 else ""

    @cached_property
    def last_named_message(self) -> Mapping[str, Any] | None:
        """The user's last message that has a name."""
        named = (
            message
            for message in reversed(self._history)
            if message.get("role") == "user" and message.get("name")
        )
        return next(named, None)

    @cached_property
    def _history(self) -> Sequence[Mapping[str, Any]]:
        return [message for message in self._messages if message.get("role") not in SYSTEM_ROLES]

    @cached_property
    def _messages(self) -> Sequence[Mapping[str, Any]]:
        messages: object = self.body.get("messages", self.body.get("input"))
        if isinstance(messages, str):
            return [{"role": "user", "content": messages}]
        if not isinstance(messages, list):
            return ()
        return [message for message in messages if isinstance(message, Mapping)]


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a message: its content, or the first text part of it."""
    content = message.get("content")
    if isinstance(content, str):
        return content.lstrip()
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, Mapping) else None
        if isinstance(text, str):
            return text.lstrip()
    return ""
