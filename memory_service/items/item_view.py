"""Items as OpenAI's clients read them: stored turns in the shape of API responses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_service.core.models import Turn
from memory_service.items.item_text import content_parts
from memory_service.items.kinds import item_kind
from memory_service.items.strict_json import loads_lenient as load_json

# Fields of a part that OpenAI's client expects and senders may leave out.
_PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "output_text": {"annotations": []},
    "input_image": {"detail": "auto"},
}


def show_item(turn: Turn, max_nesting: int) -> dict[str, Any]:
    """Return an item as OpenAI's clients read it, together with its own other fields."""
    item: dict[str, Any] = dict(load_json(turn.raw, max_nesting=max_nesting))
    if turn.kind == "item_reference":
        item["item_id"] = item.get("id")
    item["id"] = turn.id
    item["type"] = turn.kind
    if turn.kind == "message":
        item["role"] = turn.role
        item["content"] = show_parts(item.get("content"), turn.role)
    if item_kind(turn.kind).shows_status and not item.get("status"):
        item["status"] = "completed"
    return item


def show_parts(content: Any, role: str) -> list[Any]:
    """Return the content of a message as OpenAI's clients read it: a list of parts."""
    return [_shown_part(part, role) for part in content_parts(content)]


def _shown_part(part: Any, role: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind == "text":
        kind = "output_text" if role == "assistant" else "input_text"
    return {**_PART_DEFAULTS.get(str(kind), {}), **part, "type": kind}
