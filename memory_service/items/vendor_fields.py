"""Fields of messages that are outside OpenAI's API. Pure.

An upstream may need back the fields that it has sent, such as signed reasoning. Another upstream,
with which the conversation goes on, may refuse fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MESSAGE_FIELDS = frozenset(
    {
        "audio",
        "content",
        "function_call",
        "name",
        "refusal",
        "role",
        "tool_call_id",
        "tool_calls",
    }
)
_CALL_FIELDS = frozenset({"custom", "function", "id", "type"})


def tool_calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message; a client may send anything in their place."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def vendor_fields(message: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of such fields in a message and in its tool calls."""
    calls = (call.keys() - _CALL_FIELDS for call in tool_calls(message))
    return frozenset(message.keys() - _MESSAGE_FIELDS).union(*calls)


def without_vendor_fields(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message without such fields."""
    if not vendor_fields(message):
        return message
    plain = _only(message, _MESSAGE_FIELDS)
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_only(call, _CALL_FIELDS) for call in tool_calls(plain)]
    return plain


def _only(fields: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in names}
