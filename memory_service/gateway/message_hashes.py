"""Hashes of messages: equal for all forms in which clients send the same message again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from cachetools import LRUCache

from memory_service.items.item_text import text_of_parts
from memory_service.items.strict_json import canonical
from memory_service.turn_log.transactions import ReadTransaction

_MAX_HASHES = 200_000
_HASH_BYTES = 16
_CALLS = {"function_call": "function", "custom_tool_call": "custom"}
_IDENTITY = frozenset({"id", "status", "created_at", "metadata", "object"})


def message_hash(message: Mapping[str, Any]) -> bytes:
    """Return a hash of 16 bytes of the content of a message.

    The hash is the same for a string and for text parts, for missing and for empty fields, with and
    without white space around the text, and for any spacing of the JSON in tool arguments.
    """
    if message.get("type", "message") != "message":
        return _item_hash(message, str(message["type"]))
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and isinstance(content, str):
        # Most messages have this form, a history has thousands of them, and the general case takes
        # ten times as long.
        return _digest(role, content)
    audio = message.get("audio")
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
    return _digest(role, text, canonical(given) if given else "")


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
        texts = (text_of_parts(item.get(name)) for name in ("summary", "content"))
        return _digest(kind, str(item.get("encrypted_content") or "\n".join(texts)))
    content = {name: value for name, value in item.items() if name not in _IDENTITY and value}
    return _digest(kind, "", canonical(content))


class MessageHashes:
    """The hashes of stored turns, in a cache: turns never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: LRUCache[int, bytes] = LRUCache(_MAX_HASHES)

    def of_turns(
        self, snapshot: ReadTransaction, conversation_key: int, keys: Sequence[int]
    ) -> Mapping[int, bytes]:
        """Return the hash of each turn of a conversation, by key."""
        with self._lock:
            cached = {key: self._cache[key] for key in keys if key in self._cache}
        missing = [key for key in keys if key not in cached]
        if not missing:
            return cached
        raws = snapshot.turns.raw(conversation_key, missing)
        computed = {key: message_hash(json.loads(raw)) for key, raw in raws.items()}
        with self._lock:
            self._cache.update(computed)
        return {**cached, **computed}


def _digest(role: Any, text: str, fields: str = "") -> bytes:
    content = f"{role}\0{text.strip()}\0{fields}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    elements = value if isinstance(value, list) else []
    return [element for element in elements if isinstance(element, Mapping)]


def _part(part: Mapping[str, Any]) -> Any:
    """Return a part that is not text, without the fields that a client may leave out."""
    return {
        name: _part(value) if isinstance(value, Mapping) else value
        for name, value in part.items()
        if value is not None and (name, value) != ("detail", "auto")
    }


def _function(call: Mapping[str, Any]) -> list[Any]:
    """Return the name and the arguments of a call, the arguments parsed if they are JSON."""
    function = call.get("function") or call.get("custom")
    if not isinstance(function, Mapping):
        return []
    return [function.get("name"), _parsed(function.get("arguments", function.get("input")))]


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (TypeError, ValueError):
        return arguments
