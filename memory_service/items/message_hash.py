"""The hash of a message: equal for all forms in which clients send the same message again. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from memory_service.items.item_text import text_of_parts
from memory_service.items.media import media_mark
from memory_service.items.strict_json import canonical

_HASH_BYTES = 16
_CALLS = {"function_call": "function", "custom_tool_call": "custom"}
_IDENTITY = frozenset({"id", "status", "created_at", "metadata", "object"})

_THOUGHTS = re.compile(r"\s*<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL)
_END_OF_THOUGHTS = "</think>"
# Parts of a content that hold thoughts, as some servers write them and some clients leave them out.
_THOUGHT_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
# Fields of a part that do not change what it says.
_MARKS = frozenset({"cache_control"})


def message_hash(message: Mapping[str, Any]) -> bytes:
    """Return a hash of 16 bytes of the content of a message.

    The hash is the same for a string and for text parts, for missing and for empty fields, with and
    without white space around the text, and for any spacing of the JSON in tool arguments. It
    ignores what a model thought before it answered: fields and parts of reasoning, and a block
    `<think>…</think>` at the beginning of the text.
    """
    if message.get("type", "message") != "message":
        return _item_hash(message, str(message["type"]))
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and isinstance(content, str):
        # Most messages have this form, a history has thousands of them, and the general case takes
        # ten times as long.
        return _digest(role, _said(role, content))
    audio = message.get("audio")
    if isinstance(content, list):
        content = [part for part in content if not _is_thought(part)]
    fields = {
        "parts": [_part(part) for part in _mappings(content) if not part.get("text")],
        "calls": [
            [call.get("id"), *_function(call)] for call in _mappings(message.get("tool_calls"))
        ],
        "call": _function({"function": message.get("function_call")}),
        "answers": message.get("tool_call_id"),
        "audio": audio.get("id") if isinstance(audio, Mapping) else None,
        # Frameworks write the names of their agents into the messages of an assistant.
        "name": message.get("name") if role == "user" else None,
    }
    given = {name: value for name, value in fields.items() if value}
    text = text_of_parts(content) or str(message.get("refusal") or "")
    return _digest(role, _said(role, text), canonical(given) if given else "")


def _item_hash(item: Mapping[str, Any], kind: str) -> bytes:
    """Return the hash of an item of the Responses API: of a call or its result as a message."""
    if kind in _CALLS:
        name = _CALLS[kind]
        return message_hash(
            {"role": "assistant", "tool_calls": [{"id": item.get("call_id"), name: item}]}
        )
    if kind.removesuffix("_output") in _CALLS:
        link, content = item.get("call_id"), item.get("output")
        return message_hash({"role": "tool", "tool_call_id": link, "content": content})
    if kind == "reasoning":
        shown = canonical([item.get("summary"), item.get("content")])
        return _digest(kind, str(item.get("encrypted_content") or shown))
    content = {name: value for name, value in item.items() if name not in _IDENTITY and value}
    return _digest(kind, "", canonical(content))


def _said(role: Any, text: str) -> str:
    """Return the text of a message without the thoughts that an assistant wrote before it.

    Some chat templates write the opening tag into the prompt, so an answer may begin inside it.
    """
    if role != "assistant" or "</" not in text:
        return text
    while thoughts := _THOUGHTS.match(text):
        text = text[thoughts.end() :]
    before, end, after = text.partition(_END_OF_THOUGHTS)
    return after if end and "<think>" not in before else text


def _is_thought(part: Any) -> bool:
    return isinstance(part, Mapping) and str(part.get("type")) in _THOUGHT_PARTS


def _digest(role: Any, text: str, fields: str = "") -> bytes:
    content = f"{role}\0{text.strip()}\0{fields}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    elements = value if isinstance(value, list) else []
    return [element for element in elements if isinstance(element, Mapping)]


def _part(part: Mapping[str, Any]) -> Any:
    """Return a part that is not text, without the fields that a client may leave out."""
    return {
        name: _field(name, value)
        for name, value in part.items()
        if value is not None and name not in _MARKS and (name, value) != ("detail", "auto")
    }


def _field(name: str, value: Any) -> Any:
    """Return a field of a part; marks stand for the media that are stored apart."""
    if isinstance(value, Mapping):
        return _part(value)
    if isinstance(value, list):
        return [_field(name, element) for element in value]
    return media_mark(name, value) if isinstance(value, str) else value


def _function(call: Mapping[str, Any]) -> list[Any]:
    """Return the name and the arguments of a call, the arguments parsed if they are JSON."""
    function = call.get("function") or call.get("custom")
    if not isinstance(function, Mapping):
        return []
    return [function.get("name"), _parsed(function.get("arguments", function.get("input")))]


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (TypeError, ValueError, RecursionError):
        return arguments
