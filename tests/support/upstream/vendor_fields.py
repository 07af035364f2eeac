"""Fields outside OpenAI's API that a provider adds to its answers and requires back unchanged.

Providers of reasoning models sign their thoughts. A history whose signatures are missing or changed
is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.support.upstream.replies import NUMBERS, Message, Reply

MESSAGE_FIELDS: Final = ("reasoning_content", "reasoning_details")
CALL_FIELD: Final = "extra_content"


class VendorFields:
    """The fields of all answers so far."""

    def __init__(self) -> None:
        self._signed: dict[str, list[Message]] = {}

    def signed(self, reply: Reply) -> Reply:
        """Return a reply whose messages have the fields."""
        messages = [_signed(message) for message in reply.messages]
        for message in messages:
            self._signed.setdefault(_key(message), []).append(message)
        return replace(reply, messages=messages)

    def problem(self, messages: Sequence[Message]) -> str | None:
        """Return which field is missing or changed in a history; None if all came back."""
        for number, message in enumerate(messages):
            signed = self._signed.get(_key(message)) if message["role"] == "assistant" else None
            if signed and _fields(message) not in map(_fields, signed):
                return f"Message {number} is missing a thought_signature."
        return None


def _signed(message: Message) -> Message:
    number = next(NUMBERS)
    detail = {"type": "reasoning.encrypted", "data": f"c2ln{number}=", "index": 0}
    fields: dict[str, Any] = {
        "reasoning_content": f"Let me think about it, for the {number}. time.",
        "reasoning_details": [detail],
    }
    calls = [
        {**call, CALL_FIELD: {"google": {"thought_signature": f"sig{number}/{position}=="}}}
        for position, call in enumerate(message.get("tool_calls") or ())
    ]
    return {**message, **fields, **({"tool_calls": calls} if calls else {})}


def _key(message: Message) -> str:
    """Return what identifies a message: its content and the ids of its calls."""
    calls = [call.get("id") for call in message.get("tool_calls") or ()]
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return json.dumps([content or None, calls])


def _fields(message: Message) -> Mapping[str, Any]:
    own = {name: message.get(name) for name in MESSAGE_FIELDS}
    calls = [call.get(CALL_FIELD) for call in message.get("tool_calls") or ()]
    return {**own, CALL_FIELD: calls}
