"""The content hash of an item: equal for the spellings of one message. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from memory_service.items.item_text import content_parts
from memory_service.items.strict_json import canonical

# Fields that identify an item and are not part of its content.
_IDENTITY = frozenset({"id", "created_at", "metadata", "status", "object"})


def content_hash(item: Mapping[str, Any], kind: str) -> bytes:
    """Return SHA-256 over an item's content.

    A string content and one text part are the same; so are the part types `text`, `input_text`
    and `output_text`. Ids, times, metadata and status do not count, except for a reference, whose
    id is its content.
    """
    content = {
        key: value for key, value in item.items() if key not in _IDENTITY and value is not None
    }
    content["type"] = kind
    if kind == "message":
        content["content"] = [_plain_part(part) for part in content_parts(item.get("content"))]
    if kind == "item_reference":
        content["id"] = item.get("id")
    return hashlib.sha256(canonical(content).encode("utf-8", "surrogatepass")).digest()


def _plain_part(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    fields = {key: value for key, value in part.items() if value not in (None, [])}
    is_text = part.get("type") in ("input_text", "output_text")
    return {**fields, "type": "text"} if is_text else fields
