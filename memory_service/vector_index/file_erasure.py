"""Scrubbing: taking the bytes of what was deleted out of the files, a small part at a time.

A deleted row is overwritten where it lies, but copies of it may stay in the gaps of pages; Chroma
keeps deleted vectors in the files of a collection, and its database keeps them in free pages. The
log notes each such place in `residues`, in the transaction that deletes. A scrub fills a new
collection beside each one concerned, lets it take its place in one transaction, drops the old one
with its files, and rewrites both databases. Only then are the residues settled: what is cut short
begins again. Many deletions share one scrub, and scrubs take at most a twentieth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import numpy as np
import structlog

from memory_service.core.errors import ServiceError, VectorIndexDown
from memory_service.core.models import Collection, StoredPassage, Vector
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog

logger = structlog.get_logger(__name__)

QUIET_SECONDS = 1.0
"""A scrub waits until nothing was deleted for so long, so that many deletions share one."""
LONGEST_WAIT_SECONDS = 30.0
REST_FACTOR = 20
"""A scrub is followed by a rest of so many times its own length."""
CLOSING_BYTES, CLOSING_VECTORS = 256 * 1024 * 1024, 20_000
"""What is larger is not scrubbed when the service closes, but after its next start."""

_CHECKPOINT_PAUSE_SECONDS = 0.2
_PAUSE_AFTER_FAILURE_SECONDS = 10.0

Parts = Generator[float, None, None]
"""Work in small parts; each yields the seconds to wait before the next."""


class Scrubber:
    """Works in the indexer's thread, when its queue is empty."""

    def __init__(self, log: TurnLog, index: VectorIndex, *, batch: int) -> None:
        self._log = log
        self._index = index
        self._batch = batch
        self._parts: Parts | None = None
        self._twins: dict[int, int] = {}
        self._newest: int | None = None
        self._first_seen = self._last_seen = 0.0
        self._worked = 0.0
        self._has_failed = False
        self._rests_until = 0.0

    @property
    def is_pending(self) -> bool:
        """Whether files may still hold what was deleted."""
        with self._log.read() as snapshot:
            return snapshot.residues.newest() is not None

    def targets(self, collection_key: int) -> list[int]:
        """Return the collections that a change goes to: one that is being replaced has a twin."""
        twin = self._twins.get(collection_key)
        return [collection_key] if twin is None else [collection_key, twin]

    def step(self, *, hurry: bool = False) -> float | None:
        """Do a small part of what is due; return the seconds to wait, None if nothing is due.

        In a hurry, everything pending is due.
        """
        if self._parts is None:
            if not (self.is_pending if hurry else self._is_due()):
                return None
            self._parts, self._worked = self._scrub(), 0.0
        return self._next(self._parts)

    def finish(self, work_off: Callable[[], object], seconds: float) -> None:
        """Scrub without waiting for quiet, if that is not much; the service closes.

        `work_off` takes what the scrub queues out of the index.
        """
        deadline = time.monotonic() + seconds
        if not self.is_pending:
            return
        if not self._is_small():
            logger.info("deleted data is scrubbed from the files after the next start")
            return
        self._has_failed = False
        while time.monotonic() < deadline and self.is_pending and not self._has_failed:
            work_off()
            self.step(hurry=True)

    def stop(self) -> None:
        """Leave off; what is due stays in the log."""
        if self._parts is not None:
            self._parts.close()
            self._parts = None

    def _next(self, parts: Parts) -> float | None:
        started = time.monotonic()
        pause: float | None = None
        try:
            pause = next(parts, None)
        except ServiceError as error:
            logger.warning("deleted data could not be scrubbed yet", error=error.message)
            self._has_failed = True
            self._worked += _PAUSE_AFTER_FAILURE_SECONDS / REST_FACTOR
        finally:
            now = time.monotonic()
            self._worked += now - started
            if pause is None:
                self._parts = None
                self._rests_until = now + REST_FACTOR * self._worked
        return pause

    def _is_due(self) -> bool:
        with self._log.read() as snapshot:
            newest = snapshot.residues.newest()
        now = time.monotonic()
        if self._newest is None:
            self._first_seen = now
        if newest != self._newest:
            self._newest, self._last_seen = newest, now
        if newest is None or now < self._rests_until:
            return False
        is_quiet = now - self._last_seen >= QUIET_SECONDS
        return is_quiet or now - self._first_seen >= LONGEST_WAIT_SECONDS

    def _is_small(self) -> bool:
        with self._log.read() as snapshot:
            keys = {residue.collection_key for residue in snapshot.residues.erased()}
            vectors = sum(one.vectors for one in snapshot.collections.all() if one.key in keys)
        return self._log.size_bytes() <= CLOSING_BYTES and vectors <= CLOSING_VECTORS

    def _scrub(self) -> Parts:
        with self._log.read() as snapshot:
            residues = snapshot.residues.erased()
        newest = residues[-1].key
        for key in sorted({one.collection_key for one in residues if one.collection_key}):
            yield from self._rewrite(key, newest)
        yield from self._clean_index()
        self._log.vacuum()
        while not self._log.checkpoint():
            yield _CHECKPOINT_PAUSE_SECONDS
        with self._log.write() as transaction:
            transaction.residues.settle(newest)
        self._newest = None

    def _clean_index(self) -> Parts:
        """Wait until the indexer has dropped what is queued, and rewrite the index's database."""
        yield 0.0
        with self._log.read() as snapshot:
            if snapshot.index_queue.drops():
                raise VectorIndexDown("A collection could not be dropped.")
        self._index.compact()
        yield 0.0

    def _rewrite(self, collection_key: int, newest: int) -> Parts:
        """Fill a twin beside a collection and let it take its place."""
        with self._log.write() as transaction:
            old = transaction.collections.get(collection_key)
            if old is None:
                return
            if not transaction.placements.conversations_in(collection_key):
                transaction.placements.retire(collection_key)
                return
            keys, twin = (
                sorted(transaction.collections.expected_keys(collection_key)),
                transaction.collections.reserve(),
            )
        self._twins[collection_key] = twin
        is_in_place = False
        try:
            for start in range(0, len(keys), self._batch):
                self._copy(old, twin, keys[start : start + self._batch])
                yield 0.0
            is_in_place = self._switch(old, twin, newest)
        finally:
            del self._twins[collection_key]
            if not is_in_place:
                with self._log.write() as transaction:
                    transaction.index_queue.add_drop(twin)

    def _copy(self, old: Collection, twin: int, keys: list[int]) -> None:
        with self._log.read() as snapshot:
            placed = snapshot.placements.conversations_in(old.key)
            passages = snapshot.passages.by_keys(keys).values()
        ready: list[tuple[StoredPassage, Vector]] = [
            (one, one.vector)
            for one in passages
            if one.vector is not None and one.conversation_key in placed
        ]
        if ready:
            self._index.upsert(
                twin,
                [passage.key for passage, _ in ready],
                [passage.conversation_key for passage, _ in ready],
                np.stack([vector for _, vector in ready]),
            )

    def _switch(self, old: Collection, twin: int, newest: int) -> bool:
        with self._log.write() as transaction:
            current = transaction.collections.get(old.key)
            if current is None:
                return False  # Its conversation was deleted meanwhile.
            transaction.placements.replace(current, twin, settled=newest)
            return True
