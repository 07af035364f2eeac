"""Repair of the vector index: what cannot be read is filled again from the log.

A kill can leave a collection unreadable for ever. A damaged file causes no error, an error or a
crash, depending on the file. So a collection is probed: does it open, does it hold as many vectors
as the log says, and do some of them equal the log's? A collection that fails is dropped and queued
again; if that fails too, the whole folder is removed.
"""

from __future__ import annotations

import numpy as np
import structlog

from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import Vector
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog

logger = structlog.get_logger(__name__)

SAMPLE = 16
"""Vectors of a collection that a probe compares: the oldest, the newest, and some in between."""
VECTOR_TOLERANCE = 5e-3
"""The log's half floats differ by 1e-3 from what was indexed before they were rounded."""

_CANARY_COLLECTION = 0
"""The log's collections begin at 1."""


class IndexRepair:
    """Probes and repairs collections; used by the thread that writes to the index."""

    def __init__(self, log: TurnLog, index: VectorIndex, dimension: int) -> None:
        self._log = log
        self._index = index
        self._canary: Vector = np.full(dimension, dimension**-0.5, dtype=np.float32)

    def restore(self) -> list[int]:
        """Queue again what the index has lost, and drop what the log does not know.

        Returns the collections that exist and should be probed.
        """
        with self._log.read() as snapshot:
            logged = {
                collection.key for collection in snapshot.collections.all()
            } - snapshot.index_queue.drops()
        try:
            held = self._collections()
        except VectorIndexDown as error:
            logger.warning("the vector index is unreadable", error=error.message)
            self._index.reset()
            held = set()
        lost = logged - held
        with self._log.write() as transaction:
            vectors = sum(transaction.index_queue.requeue(key) for key in lost)
            # A copy that was to replace a collection, and was not finished.
            for key in held - logged - transaction.index_queue.drops():
                transaction.index_queue.add_drop(key)
        if vectors:
            logger.warning(
                "vectors were lost and are restored from the turn log",
                collections=len(lost),
                vectors=vectors,
            )
        return sorted(logged & held)

    def mend(self, collection_key: int) -> bool:
        """Repair a collection if it needs that; return whether it did."""
        try:
            held = self._collections()
        except VectorIndexDown:
            self.restore()
            return True
        if collection_key not in held:
            with self._log.read() as snapshot:
                is_lost = snapshot.collections.expected(collection_key, SAMPLE).passages > 0
            if is_lost:
                self.restore()
            return is_lost
        # The first failure may come from a child process that was ending anyway.
        if self._is_sound(collection_key) or self._is_sound(collection_key):
            return False
        self._recreate(collection_key)
        return True

    def takes_writes(self) -> bool:
        """Return whether the index can write at all; if not, no single change is the cause."""
        try:
            self._index.upsert(_CANARY_COLLECTION, [1], [1], self._canary[None])
            self._index.drop(_CANARY_COLLECTION)
        except VectorIndexDown:
            return False
        return True

    def _collections(self) -> set[int]:
        try:
            return self._index.collections()
        except VectorIndexDown:
            # The next call replaces a child process that had stopped.
            return self._index.collections()

    def _is_sound(self, collection_key: int) -> bool:
        """Return whether a collection opens and holds the log's vectors; differences are queued."""
        with self._log.read() as snapshot:
            expected = snapshot.collections.expected(collection_key, SAMPLE)
            waiting = snapshot.index_queue.change_count(collection_key)
            passages = snapshot.passages.by_keys(expected.sample)
        vectors = {
            key: passage.vector for key, passage in passages.items() if passage.vector is not None
        }
        try:
            # The first use of a large collection takes long even if it is not damaged.
            self._index.load(collection_key)
            count = self._index.count(collection_key)
            stored = self._index.vectors(collection_key, list(vectors))
            for vector in list(vectors.values())[:1]:
                self._index.query(collection_key, vector, None, 1)
        except VectorIndexDown as error:
            logger.warning("a collection is unreadable", error=error.message)
            return False
        if not expected.passages <= count <= expected.passages + waiting:
            return self._queue_differences(collection_key)
        return all(_agrees(vector, stored.get(key)) for key, vector in vectors.items())

    def _queue_differences(self, collection_key: int) -> bool:
        """Queue what a collection lacks or should not hold; return whether it is readable."""
        with self._log.read() as snapshot:
            expected = snapshot.collections.expected_keys(collection_key)
            waiting = snapshot.index_queue.upserts(collection_key) | snapshot.index_queue.deletions(
                collection_key
            )
        try:
            held = self._index.keys(collection_key)
        except VectorIndexDown as error:
            logger.warning("a collection is unreadable", error=error.message)
            return False
        missing, extra = expected - held, held - expected - waiting
        with self._log.write() as transaction:
            transaction.index_queue.requeue(collection_key, missing)
            transaction.index_queue.add_deletions(collection_key, sorted(extra))
        logger.warning(
            "a collection differs from the turn log and is corrected",
            missing=len(missing),
            extra=len(extra),
        )
        return True

    def _recreate(self, collection_key: int) -> None:
        try:
            self._index.drop(collection_key)
        except VectorIndexDown as error:
            logger.warning("the vector index is removed", error=error.message)
            self._index.reset()
        self.restore()


def _agrees(vector: Vector, stored: Vector | None) -> bool:
    return (
        stored is not None
        and stored.shape == vector.shape
        and bool(np.allclose(stored, vector, atol=VECTOR_TOLERANCE))
    )
