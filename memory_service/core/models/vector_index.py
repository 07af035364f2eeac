"""Collections of the vector index, its queue of changes and its status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueuedUpsert:
    """A passage that waits to be added to the vector index, in the collection it is placed in."""

    queue_key: int
    attempts: int
    passage_key: int
    conversation_key: int


@dataclass(frozen=True, slots=True)
class QueuedDeletion:
    """A passage that waits to be removed from a collection of the vector index."""

    queue_key: int
    attempts: int
    passage_key: int
    collection_key: int


@dataclass(frozen=True, slots=True)
class QueuedDrop:
    """A collection that waits to be removed from the vector index."""

    queue_key: int
    attempts: int
    collection_key: int


QueuedChange = QueuedUpsert | QueuedDeletion | QueuedDrop
"""A change that the vector index has not applied yet; `attempts` failed so far."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of the vector index, shared by small conversations or for one large one."""

    key: int
    project_key: int
    conversation_key: int | None
    vectors: int


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How many changes the vector index has not applied yet, and what keeps failing.

    While an erasure is pending, files may still hold bytes of deleted data.
    """

    lag: int
    parked: int
    error: str | None = None
    erasure_is_pending: bool = False


@dataclass(frozen=True, slots=True)
class IndexRebuild:
    """The result of a rebuild of the index; `waiting` changes are left for the next start."""

    vectors: int
    collections: int
    resumed: bool
    waiting: int
