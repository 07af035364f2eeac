"""The indexer: a thread that applies the log's queue of changes to the vector index.

The queue is part of the log, so an interrupted batch is applied again. The loop has a fixed
order: restore what the index has lost, probe collections, apply changes, erase deleted data from
files.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import cast

import structlog

from memory_service.core import clock
from memory_service.core.errors import ServiceError, VectorIndexDown
from memory_service.core.models import (
    MICROSECONDS,
    QueuedChange,
    QueuedDeletion,
    QueuedDrop,
    QueuedUpsert,
)
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.condition import IndexerCondition
from memory_service.vector_index.failures import FailureHandler
from memory_service.vector_index.file_erasure import FileErasure
from memory_service.vector_index.passage_vectors import PassageVectors
from memory_service.vector_index.placement import Placement
from memory_service.vector_index.rebuild import end_rebuild
from memory_service.vector_index.removals import RemovalWriter
from memory_service.vector_index.repair import IndexRepair
from memory_service.vector_index.retry_policy import RetryPolicy
from memory_service.vector_index.upserts import UpsertWriter

logger = structlog.get_logger(__name__)

_IDLE_SECONDS = 1.0
# One vector costs Chroma 10 ms, 256 at once cost 60 ms: changes gather for a moment. A recall
# compares what the index does not have yet with the vectors in the log.
_GATHER_SECONDS = 0.2
_CLOSING_SECONDS = 10.0


class Indexer:
    """One thread that keeps the vector index in sync with the log, and erases deleted data."""

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        embedder: Embedder,
        *,
        batch: int,
        collection_vectors: int,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._log = log
        self._batch = batch
        self._policy = policy or RetryPolicy()
        self._condition = IndexerCondition(self._policy)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._vectors = PassageVectors(log, embedder)
        self._repair = IndexRepair(log, index, embedder.dimension)
        self.erasure = FileErasure(log, index, batch=batch)
        self._failures = FailureHandler(
            log,
            self._repair,
            self._condition,
            self._policy,
            stopping=self._stopping,
            before_repair=self.erasure.stop,
        )
        targets = self.erasure.targets
        self._upserts = UpsertWriter(
            log,
            index,
            Placement(log, collection_vectors),
            self._vectors,
            self._failures,
            self._condition,
            self._policy,
            targets=targets,
        )
        self._removals = RemovalWriter(log, index, self._failures, self._condition, targets=targets)
        # The thread's own state: what it does before the next batch.
        self._is_restored = False
        self._unprobed: deque[int] = deque()
        self._unparks_at = 0.0
        self._singly = 0  # changes to apply one by one, since one of them met a bug
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Unpark all changes and begin to work in the background."""
        with self._log.write() as transaction:
            transaction.index_queue.unpark()
        end_rebuild(self._log)
        try:
            self._restore()
        except VectorIndexDown as error:
            self._condition.note("the vector index cannot be restored yet", error)
        self._thread.start()

    @property
    def dimension(self) -> int:
        """The length of the vectors it takes."""
        return self._vectors.dimension

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    @property
    def problem(self) -> str | None:
        """What keeps the thread from its work now, if anything does."""
        return self._condition.problem

    def wake(self) -> None:
        """Notify the thread of new changes in the queue."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the current batch and end the thread; what is left stays in the queue."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def drain(self) -> None:
        """Apply the whole queue in the calling thread; stop if nothing succeeds.

        Must not be called after `start`.
        """
        failures_in_a_row = 0
        while failures_in_a_row < self._policy.max_attempts:
            try:
                applied = self.step()
            except VectorIndexDown as error:
                self._condition.note("the vector index cannot be repaired", error)
                applied = 1
            if applied == 0:
                return
            failures_in_a_row = 0 if self.problem is None else failures_in_a_row + 1

    def step(self) -> int:
        """Apply one batch of changes; return how many it was."""
        rests = self._condition.embedder_rests
        with self._log.read() as snapshot:
            changes = snapshot.index_queue.next(self._batch, "embedded" if rests else None)
        self._apply(changes)
        return len(changes)

    def _apply(self, changes: Sequence[QueuedChange]) -> None:
        """Apply changes in the order of the queue, runs of one kind together."""
        for kind, run in groupby(changes, key=type):
            if kind is QueuedUpsert:
                self._upserts.apply(cast("list[QueuedUpsert]", list(run)))
            elif kind is QueuedDeletion:
                self._removals.delete(cast("list[QueuedDeletion]", list(run)))
            else:
                self._removals.drop(cast("list[QueuedDrop]", list(run)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            pause = self._iterate()
            if pause > _GATHER_SECONDS:
                self._wake.wait(pause)
            self._stopping.wait(min(pause, _GATHER_SECONDS))
        self._erase_before_the_end()

    def _iterate(self) -> float:
        """Do what is due next and catch its errors; return how many seconds to wait after it."""
        try:
            return self._do_next()
        except ServiceError as error:
            # The log is busy or full, or the index is down: the queue stays in the log.
            self._condition.note("indexing is waiting", error)
        except Exception as bug:
            # The thread must survive a bug, or nothing would be indexed until a restart.
            logger.exception("a bug in the indexer")
            self._condition.note_bug(bug)
            self._singly = self._batch
        return self._policy.pause_seconds

    def _do_next(self) -> float:
        if not self._is_restored:
            self._restore()
        if self._unprobed:
            self._failures.repair(self._unprobed.popleft())
            return 0.0
        self._unpark()
        applied = self._step_singly() if self._singly else self.step()
        if applied:
            return 0.0 if applied == self._batch or self._singly else _GATHER_SECONDS
        self._condition.clear()
        pause = self.erasure.step()
        return _IDLE_SECONDS if pause is None else pause

    def _restore(self) -> None:
        self._unprobed.extend(self._repair.restore())
        self._is_restored = True

    def _step_singly(self) -> int:
        """Apply one change, which counts as failed until it is applied: it may meet the bug."""
        with self._log.read() as snapshot:
            changes = snapshot.index_queue.next(1)
        if not changes:
            self._singly = 0
            return 0
        self._failures.count(changes[0], self.problem or "A bug in the indexer.")
        if not self._policy.parks(changes[0].attempts):
            self._apply(changes)
        self._singly -= 1
        return 1

    def _unpark(self) -> None:
        """Unpark changes from time to time: the cause of their failure may be gone."""
        now = time.monotonic()
        if now < self._unparks_at:
            return
        self._unparks_at = now + self._policy.parked_seconds / 10
        parked_before = clock.now() - round(self._policy.parked_seconds * MICROSECONDS)
        with self._log.write() as transaction:
            transaction.index_queue.unpark(before=parked_before)

    def _erase_before_the_end(self) -> None:
        try:
            self.erasure.finish(self._apply_removals, _CLOSING_SECONDS)
        except ServiceError as error:
            self._condition.note("deleted data could not be erased before the end", error)
        finally:
            self.erasure.stop()

    def _apply_removals(self) -> None:
        """Apply one batch of deletions and drops."""
        with self._log.read() as snapshot:
            changes = snapshot.index_queue.next(self._batch, "removals")
        self._apply(changes)
