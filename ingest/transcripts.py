"""What every format becomes: conversations as trees of items, with their own ids and times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

from memory_service.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a transcript; `raw` is its JSON, kept as it is; times are RFC 3339."""

    id: str
    parent: str | None
    raw: str
    created_at: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] | None = None
    gap_before: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """One conversation of a file; `record` is its number there, from 1.

    `items` come parents first; `skipped` counts by reason those that could not be used.
    """

    record: int
    id: str
    items: Sequence[Item]
    head: str | None
    user: str | None = None
    title: str | None = None
    metadata: Mapping[str, str] | None = None
    created_at: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


class BadRecord(ServiceError):
    """A record of a file that cannot be used; the others can."""


Warn = Callable[[int, str], None]
"""Called with the number of a record and what is wrong with it."""


class Format(Protocol):
    """A format is a module with these names."""

    NAME: str
    EXPECTS: str

    def sniff(self, head: str) -> bool:
        """Return whether a file that begins with `head` (up to 64 KiB) is of this format."""

    def parse(self, file: IO[str], warn: Warn) -> Iterator[Transcript]:
        """Yield the conversations of a file, one at a time."""


def lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line that is not blank."""
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield number, line.strip()


def derived_id(prefix: str, *parts: str) -> str:
    """Return an id that is the same for the same parts: 128 bits of their SHA-256."""
    joined = "\x00".join(f"{len(part)}:{part}" for part in parts)
    return f"{prefix}_{hashlib.sha256(joined.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
