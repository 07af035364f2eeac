"""Items in a request body: each is checked, and its JSON kept byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_service.api.body import Body
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import NewTurn
from memory_service.items.conversation_items import parse_item
from memory_service.items.strict_json import raw_elements
from memory_service.service import Service

_STORED_AS_FIELDS = frozenset({"id", "created_at", "name", "metadata"})


def parse_items(
    service: Service,
    body: Body,
    items: Sequence[Any],
    stored_as: Sequence[Mapping[str, Any]] | None,
) -> list[NewTurn]:
    """Return the turns that a body's `items` become; raises InvalidRequest naming the item."""
    limit = service.settings.max_items_per_call
    if len(items) > limit:
        raise InvalidRequest(
            f"{len(items):,} items in one call; {limit:,} are allowed (MEMORY_MAX_ITEMS_PER_CALL).",
            param="items",
            code="too_many_items",
        )
    if not items:
        return []
    places = _places(stored_as, len(items))
    raws = raw_elements(body.text(), "items")
    return [
        parse_item(item, raw, place, service.item_limits, f"items.{number}")
        for number, (item, raw, place) in enumerate(zip(items, raws, places, strict=True))
    ]


def _places(
    stored_as: Sequence[Mapping[str, Any]] | None, count: int
) -> Sequence[Mapping[str, Any]]:
    if stored_as is None:
        return [{}] * count
    if len(stored_as) != count:
        raise InvalidRequest(
            f"'stored_as' has {len(stored_as)} objects for {count} items.", param="stored_as"
        )
    for number, place in enumerate(stored_as):
        unknown = sorted(set(place) - _STORED_AS_FIELDS)
        if unknown:
            raise InvalidRequest(
                f"Unknown field '{unknown[0]}'.",
                param=f"stored_as.{number}.{unknown[0]}",
                code="unknown_field",
            )
    return stored_as
