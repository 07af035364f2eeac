"""How the stand-in reads a prompt: its form, its tokens, and what strict chat templates refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from tests.support.upstream.replies import Body, Message

MESSAGE_TOKENS: Final = 4

_WORD = re.compile(r"\w+|[^\w\s]")


def text_of(message: Message) -> str:
    """Return the text of a message, its parts joined."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or f"[{part['type']}]" for part in content)


def count_tokens(body: Body) -> int:
    """Count the tokens of a prompt: words and signs, and four per message."""
    parts = [*(body.get("messages") or ()), *(body.get("tools") or ())]
    return sum(word_count(part) + MESSAGE_TOKENS for part in parts)


def word_count(value: Any) -> int:
    """Count the words and signs of a JSON value."""
    return len(_WORD.findall(_plain(value)))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_plain(part) for key, part in value.items() if key != "type")
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return "" if value is None else str(value)


def is_well_formed(body: Any) -> bool:
    """Return whether a body has messages with roles and readable contents."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        return False
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    return (
        all(
            isinstance(message, dict) and isinstance(message.get("role"), str)
            for message in messages
        )
        and all(content is None or isinstance(content, str | list) for content in contents)
        and all(
            isinstance(part, dict) and isinstance(part.get("type"), str)
            for part in content_parts(messages)
        )
        and all(isinstance(part.get("text") or "", str) for part in content_parts(messages))
        and isinstance(body.get("tools") or [], list)
    )


def content_parts(messages: Sequence[Any]) -> Iterator[Any]:
    """Yield the parts of all contents that are lists."""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            yield from content


def template_problem(messages: Sequence[Message]) -> str | None:
    """Return why a strict chat template refuses messages, None if it does not."""
    roles = [message["role"] for message in messages]
    body = roles[1:] if roles[:1] in (["system"], ["developer"]) else roles
    if {"system", "developer"} & set(body):
        return "System message must be at the beginning."
    if any(pair == ("user", "user") for pair in pairwise(body)):
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    return _tool_problem(messages)


def _tool_problem(messages: Sequence[Message]) -> str | None:
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "A message with role 'tool' must answer a preceding tool call."
            waiting.discard(message["tool_call_id"])
        elif waiting:
            return "A message with tool calls must be followed by their results."
        else:
            waiting = {call["id"] for call in message.get("tool_calls") or ()}
    return "A message with tool calls must be followed by their results." if waiting else None


def string_problem(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """Return the refusal of a server that takes only strings as contents; None if all are."""
    for number, message in enumerate(messages):
        if isinstance(message.get("content"), list):
            detail = {
                "type": "string_type",
                "loc": ["body", "messages", number, "content"],
                "msg": "Input should be a valid string",
            }
            return {"detail": [detail]}
    return None
