"""A transcript's tree as a series of appends: each a chain below an item that is stored by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.models import NewTurn

MAX_RUN_ITEMS = 500
MAX_RUN_CHARS = 4_000_000
"""Both stay below what a server accepts in one call by default."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An item that was checked: its JSON, its fields beside that, and the turn it becomes."""

    id: str
    parent: str | None
    gap_before: bool
    raw: str
    turn: NewTurn
    stored_as: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Items of which each is the parent of the next."""

    parent: str | None
    gap_before: bool
    items: Sequence[Ready]


def runs(items: Sequence[Ready]) -> Iterator[Run]:
    """Cut items, parents before children, into runs."""
    current: list[Ready] = []
    size = 0
    for item in items:
        follows = current and item.parent == current[-1].id and not item.gap_before
        full = len(current) >= MAX_RUN_ITEMS or size + len(item.raw) > MAX_RUN_CHARS
        if current and (not follows or full):
            yield _run(current)
            current, size = [], 0
        current.append(item)
        size += len(item.raw)
    if current:
        yield _run(current)


def _run(items: Sequence[Ready]) -> Run:
    return Run(items[0].parent, items[0].gap_before, tuple(items))
