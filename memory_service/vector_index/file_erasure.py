"""Erasure of files: removes the bytes of deleted data, in small steps.

A deleted row is overwritten in place, but copies of it may stay in the gaps of pages; Chroma keeps
deleted vectors in the files of a collection, and its database keeps them in free pages. The log
notes each such place as a residue, in the transaction that deletes. An erasure rewrites the
collections concerned, drops the old ones with their files, and rewrites both databases. Only then
are the residues settled: an interrupted erasure begins again. Many deletions share one erasure.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from memory_service.core.errors import ServiceError, VectorIndexDown
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.collection_rewrite import CollectionRewriter, Steps
from memory_service.vector_index.erasure_schedule import REST_FACTOR, ErasureSchedule

logger = structlog.get_logger(__name__)

CLOSING_BYTES, CLOSING_VECTORS = 256 * 1024 * 1024, 20_000
"""A larger log or collection is not rewritten when the service closes, but after its next start."""

_CHECKPOINT_PAUSE_SECONDS = 0.2
_PAUSE_AFTER_FAILURE_SECONDS = 10.0


class FileErasure:
    """Erases deleted data; works in the indexer's thread, when its queue is empty."""

    def __init__(self, log: TurnLog, index: VectorIndex, *, batch: int) -> None:
        self._log = log
        self._index = index
        self._rewriter = CollectionRewriter(log, index, batch=batch)
        self._schedule = ErasureSchedule()
        self._steps: Steps | None = None
        self._worked_seconds = 0.0
        self._has_failed = False

    @property
    def is_pending(self) -> bool:
        """Whether files may still hold deleted data."""
        return self._newest_residue() is not None

    def targets(self, collection_key: int) -> list[int]:
        """Return the collections that a change goes to; one that is being replaced has a copy."""
        return self._rewriter.targets(collection_key)

    def step(self, *, hurry: bool = False) -> float | None:
        """Do a small step of what is due; return the seconds to wait, None if nothing is due.

        With `hurry` everything pending is due.
        """
        if self._steps is None:
            newest = self._newest_residue()
            if not (newest is not None if hurry else self._schedule.is_due(newest)):
                return None
            self._steps, self._worked_seconds = self._erase(), 0.0
        return self._advance(self._steps)

    def finish(self, apply_removals: Callable[[], object], seconds: float) -> None:
        """Erase without waiting for a quiet moment, if that is little work; the service closes.

        `apply_removals` applies the deletions and drops that the erasure queues.
        """
        deadline = time.monotonic() + seconds
        if not self.is_pending:
            return
        if not self._is_small():
            logger.info("deleted data is erased from the files after the next start")
            return
        self._has_failed = False
        while time.monotonic() < deadline and self.is_pending and not self._has_failed:
            apply_removals()
            self.step(hurry=True)

    def stop(self) -> None:
        """Stop the running erasure; its residues stay in the log."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _newest_residue(self) -> int | None:
        with self._log.read() as snapshot:
            return snapshot.residues.newest()

    def _advance(self, steps: Steps) -> float | None:
        started = time.monotonic()
        pause: float | None = None
        try:
            pause = next(steps, None)
        except ServiceError as error:
            logger.warning("deleted data could not be erased yet", error=error.message)
            self._has_failed = True
            self._worked_seconds += _PAUSE_AFTER_FAILURE_SECONDS / REST_FACTOR
        finally:
            self._worked_seconds += time.monotonic() - started
            if pause is None:
                self._steps = None
                self._schedule.ended(self._worked_seconds)
        return pause

    def _is_small(self) -> bool:
        with self._log.read() as snapshot:
            keys = {residue.collection_key for residue in snapshot.residues.erased()}
            vectors = sum(
                collection.vectors
                for collection in snapshot.collections.all()
                if collection.key in keys
            )
        return self._log.size_bytes() <= CLOSING_BYTES and vectors <= CLOSING_VECTORS

    def _erase(self) -> Steps:
        with self._log.read() as snapshot:
            residues = snapshot.residues.erased()
        newest = residues[-1].key
        collections = {residue.collection_key for residue in residues if residue.collection_key}
        for key in sorted(collections):
            yield from self._rewriter.rewrite(key, newest)
        yield from self._compact_index()
        self._log.vacuum()
        while not self._log.checkpoint():
            yield _CHECKPOINT_PAUSE_SECONDS
        with self._log.write() as transaction:
            transaction.residues.settle(newest)
        self._schedule.erased()

    def _compact_index(self) -> Steps:
        """Wait until the indexer has dropped what is queued, and rewrite the index's database."""
        yield 0.0
        with self._log.read() as snapshot:
            if snapshot.index_queue.drops():
                raise VectorIndexDown("A collection could not be dropped.")
        self._index.compact()
        yield 0.0
