"""The text of an item: the words in it that are indexed and shown. Pure.

The shapes are those of checked items and messages; fields of other types are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memory_service.items.kinds import item_kind

_PART_TEXT = ("text", "refusal", "transcript", "filename")
_FUNCTION_TEXT = ("name", "arguments", "input")
# Parts of a message with a model's reasoning, as servers of chat completions send it.
_REASONING_PARTS = frozenset({"reasoning", "reasoning_text", "redacted_thinking", "thinking"})


def item_text(item: Mapping[str, Any], kind: str) -> str:
    """Return the words of an item, its fields and parts on lines of their own."""
    if kind == "message":
        return _message_text(item)
    paths = item_kind(kind).text
    return "\n".join(text for path in paths for text in _strings_at(item, path))


def text_of_parts(content: Any) -> str:
    """Return the words of a message's content, each part on a line of its own.

    Reasoning is no part of what was said.
    """
    parts = (part for part in content_parts(content) if not is_reasoning(part))
    return "\n".join(filter(None, map(_part_text, parts)))


def is_reasoning(part: Any) -> bool:
    """Return whether a part of a content is a model's reasoning."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind in _REASONING_PARTS


def content_parts(content: Any) -> list[Any]:
    """Return the parts of a message's content; a string is one text part."""
    if content is None:
        return []
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _message_text(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls") or ()
    words = [text_of_parts(message.get("content"))]
    words += [_part_text(message.get(key)) for key in ("refusal", "audio")]
    words += [_function_text(call.get("function") or call.get("custom")) for call in calls]
    words.append(_function_text(message.get("function_call")))
    return "\n".join(filter(None, words))


def _strings_at(value: Any, path: Sequence[str]) -> Iterable[str]:
    if isinstance(value, list):
        for element in value:
            yield from _strings_at(element, path)
    elif isinstance(value, str):
        if not path and value:
            yield value
    elif isinstance(value, Mapping):
        if path:
            yield from _strings_at(value.get(path[0]), path[1:])
        else:
            yield from filter(None, [_part_text(value)])


def _function_text(function: Any) -> str:
    if not isinstance(function, Mapping):
        return ""
    return "\n".join(str(function[key]) for key in _FUNCTION_TEXT if function.get(key))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    audio = part.get("input_audio")
    holders = [part, audio] if isinstance(audio, Mapping) else [part]
    texts = (holder.get(key) for holder in holders for key in _PART_TEXT)
    return "\n".join(text for text in texts if isinstance(text, str) and text)
