"""Removals: passages and whole collections that are removed from the vector index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memory_service.core.models import QueuedDeletion, QueuedDrop
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.condition import IndexerCondition
from memory_service.vector_index.failures import FailureHandler


class RemovalWriter:
    """Removes queued passages and collections; `targets` is as in `UpsertWriter`."""

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        failures: FailureHandler,
        condition: IndexerCondition,
        *,
        targets: Callable[[int], Sequence[int]],
    ) -> None:
        self._log = log
        self._index = index
        self._failures = failures
        self._condition = condition
        self._targets = targets

    def delete(self, changes: Sequence[QueuedDeletion]) -> None:
        """Remove passages from their collections."""
        by_collection: dict[int, list[QueuedDeletion]] = {}
        for change in changes:
            by_collection.setdefault(change.collection_key, []).append(change)
        for collection_key, members in sorted(by_collection.items()):
            self._failures.attempt(collection_key, members, self._delete)

    def drop(self, changes: Sequence[QueuedDrop]) -> None:
        """Remove collections."""
        for change in changes:
            self._failures.attempt(change.collection_key, [change], self._drop)

    def _delete(self, changes: Sequence[QueuedDeletion]) -> None:
        """Remove passages of one collection."""
        for target in self._targets(changes[0].collection_key):
            self._index.delete(target, [change.passage_key for change in changes])
        self._finish(changes)

    def _drop(self, changes: Sequence[QueuedDrop]) -> None:
        for change in changes:
            self._index.drop(change.collection_key)
            with self._log.write() as transaction:
                transaction.placements.remove(change.collection_key)
        self._finish(changes)

    def _finish(self, changes: Sequence[QueuedDeletion | QueuedDrop]) -> None:
        with self._log.write() as transaction:
            transaction.index_queue.finish([change.queue_key for change in changes])
        self._condition.succeeded()
