"""The model that all formats are read into: transcripts of items with ids, times and branches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Literal, NamedTuple


class Location(NamedTuple):
    """Where something was read: a file (a member of a ZIP or folder) and its record, from 1.

    A record is a line, or an element of a JSON array. Record 0 means the whole file.
    """

    file: str
    record: int


class RecordProblem(NamedTuple):
    """Where something could not be used, and why."""

    location: Location
    message: str


@dataclass(frozen=True, slots=True)
class TranscriptItem:
    """One item of a transcript.

    `raw` is its JSON, stored unchanged. `parent` is the id of the item before it, None at the root.
    `created_at` is RFC 3339. `gap_before` says that items between it and its parent were deleted.
    `location` is given where an item has a record of its own; else it is the transcript's.
    """

    id: str
    parent: str | None
    raw: str
    created_at: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] | None = None
    gap_before: bool = False
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """One conversation of a file.

    `items` hold parents before children, and the active branch after the others. `head` is the item
    in which the active branch ends. `skipped` counts, by reason, the turns that were left out.
    """

    location: Location
    id: str
    items: Sequence[TranscriptItem]
    head: str | None
    user: str | None = None
    title: str | None = None
    metadata: Mapping[str, str] | None = None
    created_at: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """Options of the command line for the formats; each format uses those that apply to it.

    `branches`: keep the active branch of each conversation, or all branches. `reasoning`: keep the
    model's reasoning. `sidechains`: keep conversations among agents, as conversations of their own.
    `date_order` and `zone`: how to read ambiguous dates, and times without a zone.
    """

    branches: Literal["active", "all"] = "active"
    reasoning: bool = False
    sidechains: bool = False
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    zone: tzinfo = UTC


Warn = Callable[[Location, str], None]
"""Called with a location and the problem there: a record is not used, or only partly."""


def derived_id(prefix: str, *parts: str) -> str:
    """Return an id that is the same for the same parts: 128 bits of their SHA-256."""
    joined = "\x00".join(f"{len(part)}:{part}" for part in parts)
    return f"{prefix}_{hashlib.sha256(joined.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
