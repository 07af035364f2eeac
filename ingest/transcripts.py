"""What every format becomes: conversations as trees of items, with their own ids and times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Literal, NamedTuple, Protocol

from ingest.sources import Source
from memory_service.core.errors import ServiceError


class Place(NamedTuple):
    """Where something was read: a file (a member of a ZIP or folder), and its record, from 1."""

    file: str
    record: int


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
    """One conversation of a file.

    `items` come parents first, and of two branches the live one last; `head` is the item in which
    the live branch ends. `skipped` counts by reason the turns that could not or should not be used.
    """

    place: Place
    id: str
    items: Sequence[Item]
    head: str | None
    user: str | None = None
    title: str | None = None
    metadata: Mapping[str, str] | None = None
    created_at: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of the formats; each takes what concerns it.

    `branches`: the live one of each conversation, or all. `reasoning`: keep the model's thoughts.
    `sidechains`: keep what agents said among themselves, as conversations of their own.
    `date_order` and `zone`: how to read dates that do not say.
    """

    branches: Literal["live", "all"] = "live"
    reasoning: bool = False
    sidechains: bool = False
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    zone: tzinfo = UTC


class BadRecord(ServiceError):
    """A record of a file that cannot be used; the others can."""


Warn = Callable[[Place, str], None]
"""Called with a place and what is wrong there: a record is not used, or not whole."""


class Format(Protocol):
    """A format is a module with these names."""

    NAME: str
    EXPECTS: str

    def sniff(self, source: Source) -> bool:
        """Return whether a source is of this format, by the beginnings of its members."""

    def parse(self, source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
        """Yield the conversations of a source, one at a time."""


def derived_id(prefix: str, *parts: str) -> str:
    """Return an id that is the same for the same parts: 128 bits of their SHA-256."""
    joined = "\x00".join(f"{len(part)}:{part}" for part in parts)
    return f"{prefix}_{hashlib.sha256(joined.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
