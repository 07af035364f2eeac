"""Chat messages in a shape that the log can hold. Pure.

Applications send messages to the gateway that differ from OpenAI's shape: a content that is a
number, parts without a type, tool calls without ids. They are forwarded as they were sent. What is
stored has the shape of an item: a field without a valid value is repaired or left out.

A message becomes the same storable message each time it is sent, so a history that is sent again is
still found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest
from memory_service.items.fields import MAX_NAME_CHARS, check_id, check_metadata
from memory_service.items.strict_json import dumps, storable_text

_ABSENT: Final = object()
"""The repaired value of a field that is left out."""

_ROLE = re.compile(r"[A-Za-z0-9_.-]{1,16}")


def storable_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message that `parse_item` accepts with lenient limits.

    The message itself if it needs no repair, so that callers can use its exact JSON. It must have a
    role.
    """
    if len(message) == 2 and isinstance(message.get("content"), str):
        # Nearly all messages: a role and a text.
        repaired_role = _role(message["role"])
        return message if repaired_role == message["role"] else {**message, "role": repaired_role}
    repaired = {name: _REPAIRS[name](value) for name, value in message.items() if name in _REPAIRS}
    if all(message[name] is value for name, value in repaired.items()):
        return message
    fields = {**message, **repaired}
    return {name: value for name, value in fields.items() if value is not _ABSENT}


def _role(role: Any) -> Any:
    return role if isinstance(role, str) and _ROLE.fullmatch(role) else "unknown"


def _content(content: Any) -> Any:
    """Return a content that is a text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        is_same = all(part is other for part, other in zip(parts, content, strict=True))
        return content if is_same else parts
    return [_part(content)] if isinstance(content, Mapping) else dumps(content)


def _part(part: Any) -> Any:
    """Return a part with a type, its text a string; anything else becomes a text part."""
    if not isinstance(part, Mapping):
        return {"type": "text", "text": part if isinstance(part, str) else dumps(part)}
    text = part.get("text")
    if not isinstance(part.get("type"), str):
        is_text = isinstance(text, str)
        return {**part, "type": "text"} if is_text else {"type": "text", "text": dumps(part)}
    return part if isinstance(text or "", str) else {**part, "text": dumps(text)}


def _tool_calls(calls: Any) -> Any:
    """Return a list of tool calls with ids."""
    if calls is None:
        return calls
    elements = calls if isinstance(calls, list) else [calls]
    repaired = [
        _tool_call(call, position)
        for position, call in enumerate(elements)
        if isinstance(call, Mapping)
    ]
    is_same = len(repaired) == len(elements) and all(
        call is other for call, other in zip(repaired, elements, strict=True)
    )
    if is_same and elements is calls:
        return calls
    return repaired or _ABSENT


def _tool_call(call: Mapping[str, Any], position: int) -> Mapping[str, Any]:
    call_id = _tool_call_id(call.get("id"))
    if call_id is call.get("id") and call_id is not None:
        return call
    return {**call, "id": f"call_{position}" if call_id in {None, _ABSENT} else call_id}


def _tool_call_id(call_id: Any) -> Any:
    if call_id is None or (isinstance(call_id, str) and call_id):
        return call_id
    is_number = isinstance(call_id, int | float) and not isinstance(call_id, bool)
    return str(call_id) if is_number else _ABSENT


def _name(name: Any) -> Any:
    if name is None:
        return name
    if not isinstance(name, str) or not name:
        return _ABSENT
    storable = storable_text(name[:MAX_NAME_CHARS])
    return name if storable == name else storable


def _type(kind: Any) -> Any:
    return kind if kind is None or kind == "message" else _ABSENT


def _checked(check: Callable[[Any, str], Any]) -> Callable[[Any], Any]:
    """Return a repair that leaves out what a check refuses."""

    def repair(value: Any) -> Any:
        try:
            if value is not None:
                check(value, "")
        except InvalidRequest:
            return _ABSENT
        return value

    return repair


_REPAIRS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "role": _role,
    "content": _content,
    "tool_calls": _tool_calls,
    "tool_call_id": _tool_call_id,
    "name": _name,
    "type": _type,
    "id": _checked(check_id),
    "created_at": _checked(parse_time),
    "metadata": _checked(check_metadata),
}
