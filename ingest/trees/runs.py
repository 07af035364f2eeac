"""Runs of items: a tree as a series of appends, each below an item that is stored before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.transcripts import Location
from memory_service.core.models import NewTurn

MAX_RUN_ITEMS = 500
MAX_RUN_CHARS = 4_000_000
"""Both stay below what a server accepts in one call by default."""


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item that the service accepts: its JSON, its other fields, and the turn it becomes."""

    id: str
    parent: str | None
    gap_before: bool
    raw: str
    turn: NewTurn
    stored_as: Mapping[str, Any]
    location: Location


@dataclass(frozen=True, slots=True)
class ItemRun:
    """Items of which each is the parent of the next; `parent` is that of the first."""

    parent: str | None
    gap_before: bool
    items: Sequence[CheckedItem]


def item_runs(items: Sequence[CheckedItem]) -> Iterator[ItemRun]:
    """Cut items, parents before children, into runs."""
    current: list[CheckedItem] = []
    size = 0
    for item in items:
        follows = current and item.parent == current[-1].id and not item.gap_before
        is_full = len(current) >= MAX_RUN_ITEMS or size + len(item.raw) > MAX_RUN_CHARS
        if current and (not follows or is_full):
            yield _run(current)
            current, size = [], 0
        current.append(item)
        size += len(item.raw)
    if current:
        yield _run(current)


def _run(items: Sequence[CheckedItem]) -> ItemRun:
    return ItemRun(items[0].parent, items[0].gap_before, tuple(items))
