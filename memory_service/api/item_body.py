"""Items in a request body: each is checked, and its JSON is kept byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_service.api.body import JsonBody
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NewTurn
from memory_service.items.conversation_items import parse_item
from memory_service.items.strict_json import raw_elements
from memory_service.service import Service

_STORED_AS_FIELDS = frozenset({"id", "created_at", "name", "metadata"})


def parse_items(
    service: Service,
    body: JsonBody,
    items: Sequence[Any],
    stored_as: Sequence[Mapping[str, Any]] | None,
) -> list[NewTurn]:
    """Return the turns that `items` become; raises InvalidRequest that names the invalid item.

    `stored_as` has an object per item that overrides the item's own id, time, name and metadata.
    """
    limit = service.settings.max_items_per_call
    if len(items) > limit:
        raise InvalidRequest(
            f"The request has {len(items):,} items. {limit:,} are allowed "
            "(MEMORY_MAX_ITEMS_PER_CALL).",
            param="items",
            code="too_many_items",
        )
    if not items:
        return []
    overrides = _overrides(stored_as, len(items))
    raws = raw_elements(body.text(), "items")
    return [
        parse_item(item, raw, override, service.item_limits, f"items.{position}")
        for position, (item, raw, override) in enumerate(zip(items, raws, overrides, strict=True))
    ]


def _overrides(
    stored_as: Sequence[Mapping[str, Any]] | None, count: int
) -> Sequence[Mapping[str, Any]]:
    if stored_as is None:
        return [{}] * count
    if len(stored_as) != count:
        raise InvalidRequest(
            f"'stored_as' has {len(stored_as)} objects for {count} items.", param="stored_as"
        )
    for position, override in enumerate(stored_as):
        unknown = sorted(set(override) - _STORED_AS_FIELDS)
        if unknown:
            raise InvalidRequest(
                f"Unknown field '{unknown[0]}'.",
                param=f"stored_as.{position}.{unknown[0]}",
                code="unknown_field",
            )
    return stored_as
