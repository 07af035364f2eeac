"""Checks of the vector index: its collections against their passages in the log."""

from __future__ import annotations

from collections.abc import Iterator

from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import Collection, Finding
from memory_service.core.protocols import VectorIndex
from memory_service.maintenance.vector_comparison import INDEX_TOLERANCE, are_close
from memory_service.turn_log.transactions import ReadTransaction

_COMPARED_AT_ONCE = 1_000


def check_collections(snapshot: ReadTransaction, index: VectorIndex) -> Iterator[Finding]:
    """Check every collection of the log, and that the index has no others."""
    dropped, collections = snapshot.index_queue.drops(), snapshot.collections.all()
    for collection in collections:
        if collection.key in dropped:
            continue
        name = f"collection {collection.key}"
        if collection.vectors != snapshot.collections.passage_count(collection.key):
            yield Finding("index", name, "its count of vectors differs from what is placed")
        if snapshot.placements.foreign_conversations(collection):
            yield Finding("index", name, "it holds conversations of another owner")
        try:
            yield from _vectors(snapshot, index, collection, name)
        except VectorIndexDown as error:
            yield Finding("index", name, f"cannot be read: {error.message}")
    try:
        unknown = index.collections() - {collection.key for collection in collections} - dropped
    except VectorIndexDown as error:
        yield Finding("index", "folder", f"cannot be read: {error.message}")
        return
    for key in sorted(unknown):
        yield Finding("index", f"collection {key}", "the log does not know it")


def _vectors(
    snapshot: ReadTransaction, index: VectorIndex, collection: Collection, name: str
) -> Iterator[Finding]:
    """Compare the vectors of a collection with those in the log."""
    expected = snapshot.collections.expected_keys(collection.key)
    stored = index.keys(collection.key)
    # A queued change may be in the index already: the service can stop between the two.
    queued = snapshot.index_queue.deletions(collection.key) | snapshot.index_queue.upserts(
        collection.key
    )
    missing, extra = expected - stored, stored - expected - queued
    if missing:
        yield Finding("index", name, f"{len(missing)} vectors missing")
    if extra:
        yield Finding("index", name, f"{len(extra)} vectors too many")
    different = _different(snapshot, index, collection, sorted(expected & stored))
    if different:
        yield Finding("index", name, f"{different} vectors differ from the log")


def _different(
    snapshot: ReadTransaction, index: VectorIndex, collection: Collection, keys: list[int]
) -> int:
    """Return how many vectors of the index differ from those in the log.

    One that a running service has removed since its key was read is different, too.
    """
    different = 0
    for start in range(0, len(keys), _COMPARED_AT_ONCE):
        batch = keys[start : start + _COMPARED_AT_ONCE]
        held = index.vectors(collection.key, batch)
        for key, passage in snapshot.passages.by_keys(batch).items():
            vector = passage.vector
            if key not in held or (
                vector is not None and not are_close(held[key], vector, INDEX_TOLERANCE)
            ):
                different += 1
    return different
