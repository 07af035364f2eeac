"""The order of roles in a prompt: what strict chat templates accept. Pure.

Such a template takes user and assistant in turn after the system message, begins with the user, and
takes tool results only right after their calls. Stored turns can have any order: answers that
never came, several speakers, imported transcripts. So messages that the client did not send one
after the other are joined. What the client sent one after the other stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from memory_service.items.chat_messages import (
    Message,
    PlacedMessage,
    tool_call_ids,
    with_kept_calls,
)

OPENING: Message = {"role": "user", "content": "…"}
"""Stands for what the user said before an assistant's message that would begin a prompt."""

_JOINED_ROLES = frozenset({"user", "assistant"})


def alternating(messages: Iterable[PlacedMessage]) -> list[PlacedMessage]:
    """Return the messages in an order that strict chat templates accept."""
    ordered: list[PlacedMessage] = []
    for message in _with_results_after_calls(messages):
        if ordered and _are_joined(ordered[-1], message):
            ordered[-1] = _join(ordered[-1], message)
        else:
            ordered.append(message)
    return ordered


def joined(messages: Sequence[Message]) -> list[Message]:
    """Return messages as one."""
    return [reduce(_join, map(PlacedMessage, messages)).message] if messages else []


def lacks_opening(messages: Sequence[PlacedMessage]) -> bool:
    """Return whether an assistant's message is the first, though the client began otherwise."""
    first = messages[0] if messages else None
    return first is not None and first.message["role"] == "assistant" and first.position != 0


def text_before(text: str, content: Any) -> Any:
    """Return a content with a text in front: a string stays a string, parts stay parts."""
    if isinstance(content, list):
        return [{"type": "text", "text": text}, *content]
    return f"{text}\n{content}" if content else text


def _with_results_after_calls(messages: Iterable[PlacedMessage]) -> list[PlacedMessage]:
    """Return the messages with tool results directly after their calls.

    Stored calls without a result are left out, and so are stored results without a call: servers
    use ids again. A result that the client sends without its call stays where it is.
    """
    groups: list[tuple[PlacedMessage, list[PlacedMessage]]] = []
    open_calls: dict[str, list[list[PlacedMessage]]] = {}
    # A group repeats a result if two of its calls have the same id.
    for placed in {id(placed.message): placed for placed in messages}.values():
        waiting = open_calls.get(str(placed.message.get("tool_call_id")))
        if placed.message["role"] == "tool" and (waiting or placed.position is None):
            if waiting:
                waiting.pop().append(placed)
            continue
        groups.append((placed, []))
        for link in set(tool_call_ids(placed.message)):
            open_calls.setdefault(link, []).append(groups[-1][1])
    return [
        message
        for placed, results in groups
        for message in [*_with_answered_calls(placed, results), *results]
    ]


def _with_answered_calls(
    placed: PlacedMessage, results: Sequence[PlacedMessage]
) -> list[PlacedMessage]:
    if placed.position is not None:
        return [placed]
    answered = {str(result.message["tool_call_id"]) for result in results}
    message = with_kept_calls(placed.message, answered)
    if message is not None and len(message.get("tool_calls") or ()) > len(answered):
        calls = {str(call.get("id")): call for call in message["tool_calls"]}
        message = {**message, "tool_calls": list(calls.values())}
    return [] if message is None else [PlacedMessage(message)]


def _are_joined(before: PlacedMessage, after: PlacedMessage) -> bool:
    role = before.message["role"]
    if role != after.message["role"] or role not in _JOINED_ROLES:
        return False
    is_call = before.message.get("tool_calls") or before.message.get("function_call")
    is_clients_order = before.position is not None and after.position == before.position + 1
    return not is_call and not is_clients_order


def _join(before: PlacedMessage, after: PlacedMessage) -> PlacedMessage:
    """Return two messages of a role as one. Of other fields than the content, the last counts."""
    names = [placed.message.get("name") for placed in (before, after)]
    fields = {name: value for name, value in after.message.items() if value is not None}
    message = {**before.message, **fields}
    if names[0] == names[1]:
        contents = [placed.message.get("content") for placed in (before, after)]
    else:
        message.pop("name")
        contents = [_named_content(placed.message) for placed in (before, after)]
    return PlacedMessage({**message, "content": _joined_content(*contents)}, after.position)


def _named_content(message: Mapping[str, Any]) -> Any:
    """Return a content that says whose it is: one message has one name."""
    name, content = message.get("name"), message.get("content")
    if not name:
        return content
    if isinstance(content, list):
        return [{"type": "text", "text": f"{name}:"}, *content]
    return f"{name}: {content or ''}"


def _joined_content(before: Any, after: Any) -> Any:
    if not before or not after:
        return before or after
    if isinstance(before, str):
        return text_before(before, after)
    return [*before, *_parts(after)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
