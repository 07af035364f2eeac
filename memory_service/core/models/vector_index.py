"""Collections of the vector index, its queue of changes and its status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class QueuedPassage:
    """A passage that waits to enter the vector index (or to leave it)."""

    queue_key: int
    action: Literal["upsert", "delete", "drop"]
    passage_key: int | None
    conversation_key: int | None
    collection_key: int | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of the vector index: shared by small conversations, or of one large one."""

    key: int
    project_key: int
    conversation_key: int | None
    vectors: int


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How far the vector index is behind the log, and what keeps failing.

    While a scrub is pending, files may still hold bytes of what was deleted.
    """

    lag: int
    parked: int
    error: str | None = None
    scrub_is_pending: bool = False


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild of the vector index did; `waiting` changes are left to the next start."""

    vectors: int
    collections: int
    resumed: bool
    waiting: int
