"""The background indexer: takes small batches from the log's queue into the vector index.

The queue is part of the log, so a batch that was cut short is simply taken again. Conversations
share collections while they are small; one that outgrows its share gets a collection of its own.
What fails is looked into: a damaged collection is repaired, an index or embedder that is down is
waited for, and only a change that fails where others get through is parked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import structlog

from memory_service.core import clock
from memory_service.core.errors import EmbedderDown, EmbedderRefused, ServiceError, VectorIndexDown
from memory_service.core.models import MICROSECONDS, QueuedPassage, StoredPassage, Vector
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.file_erasure import Scrubber
from memory_service.vector_index.passage_vectors import PassageVectors
from memory_service.vector_index.placement import Placement
from memory_service.vector_index.rebuild import forget_rebuild
from memory_service.vector_index.repair import IndexRepair

logger = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""A change that failed this often is parked, so that it does not hold up the others."""
PARKED_SECONDS = 600
"""What is parked is tried again after so long, and at each start."""

_IDLE_SECONDS = 1.0
_BACK_OFF_SECONDS = 0.5
_LONGEST_BACK_OFF_SECONDS = 30.0
# One vector costs Chroma 10 ms, 256 at once cost 60 ms: what comes in gathers for a moment. What
# the index does not have yet, a recall compares in the log.
_GATHER_SECONDS = 0.2
_CLOSING_SECONDS = 10.0

Work = Callable[[Sequence[QueuedPassage]], None]


class Indexer:
    """One thread that keeps the vector index level with the log, and its files free of remnants."""

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        embedder: Embedder,
        *,
        batch: int,
        collection_vectors: int,
    ) -> None:
        self._log = log
        self._index = index
        self._batch = batch
        self._placement = Placement(log, collection_vectors)
        self._vectors = PassageVectors(log, embedder)
        self._repair = IndexRepair(log, index, embedder.dimension)
        self.scrubber = Scrubber(log, index, batch=batch)
        self._is_restored = False
        self._unprobed: deque[int] = deque()
        self._embedder_rests_until = 0.0
        self._unparks_at = 0.0
        # How many changes are still taken one by one, because a bug hides among them.
        self._careful = 0
        self._trouble: str | None = None
        self._outage_seconds = _BACK_OFF_SECONDS
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Give parked changes another chance and begin to work in the background."""
        with self._log.write() as transaction:
            transaction.index_queue.unpark()
        forget_rebuild(self._log)
        try:
            self._restore()
        except VectorIndexDown as error:
            self._note("the vector index cannot be restored yet", error)
        self._thread.start()

    def _restore(self) -> None:
        self._unprobed.extend(self._repair.restore())
        self._is_restored = True

    @property
    def dimension(self) -> int:
        """The length of the vectors it takes."""
        return self._vectors.dimension

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str | None:
        """What keeps the thread from its work now, if anything does."""
        return self._trouble

    def wake(self) -> None:
        """Say that there is something new in the queue."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch at hand and end the thread; what is left stays in the queue."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def drain(self) -> None:
        """Work the queue off in the calling thread, not beside `start`; end where nothing works."""
        stuck = 0
        while stuck < MAX_ATTEMPTS:
            try:
                done = self.step()
            except VectorIndexDown as error:
                self._note("the vector index cannot be repaired", error)
                done = 1
            if done == 0:
                return
            stuck = 0 if self._trouble is None else stuck + 1

    def step(self) -> int:
        """Take one batch into the index; return how many changes it was."""
        rests = time.monotonic() < self._embedder_rests_until
        with self._log.read() as snapshot:
            queue = snapshot.index_queue.next(self._batch, "embedded" if rests else None)
        self._apply(queue)
        return len(queue)

    def _apply(self, queue: Sequence[QueuedPassage]) -> None:
        for action, group in groupby(queue, key=lambda change: change.action):
            changes = list(group)
            if action == "upsert":
                self._upsert(changes)
            elif action == "delete":
                self._delete(changes)
            else:
                self._drop(changes)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause = self._turn()
            except ServiceError as error:
                # The log is busy or full, the index is down: the queue stays in the log.
                self._note("indexing is waiting", error)
                pause = _BACK_OFF_SECONDS
            except Exception as bug:
                # This thread must outlive a bug, or nothing would be indexed until a restart.
                logger.exception("a bug in the indexer")
                self._trouble = f"A bug in the indexer: {type(bug).__name__}."
                self._careful = self._batch
                pause = _BACK_OFF_SECONDS
            if pause > _GATHER_SECONDS:
                self._wake.wait(pause)
            self._stopping.wait(min(pause, _GATHER_SECONDS))
        self._scrub_before_the_end()

    def _turn(self) -> float:
        """Do the next thing that is to be done; return how many seconds to wait after it."""
        if not self._is_restored:
            self._restore()
        if self._unprobed:
            self._mend(self._unprobed.popleft())
            return 0.0
        self._unpark()
        done = self._step_carefully() if self._careful else self.step()
        if done:
            return 0.0 if done == self._batch or self._careful else _GATHER_SECONDS
        self._clear_trouble()
        pause = self.scrubber.step()
        return _IDLE_SECONDS if pause is None else pause

    def _step_carefully(self) -> int:
        """Take one change, which counts as failed until it is done: a bug may be about it."""
        with self._log.read() as snapshot:
            queue = snapshot.index_queue.next(1)
        if not queue:
            self._careful = 0
            return 0
        self._count_failure(queue[0], self._trouble or "A bug in the indexer.")
        if queue[0].attempts + 1 < MAX_ATTEMPTS:
            self._apply(queue)
        self._careful -= 1
        return 1

    def _unpark(self) -> None:
        """Give parked changes another chance from time to time: what was wrong may be mended."""
        now = time.monotonic()
        if now >= self._unparks_at:
            self._unparks_at = now + PARKED_SECONDS / 10
            with self._log.write() as transaction:
                transaction.index_queue.unpark(before=clock.now() - PARKED_SECONDS * MICROSECONDS)

    def _scrub_before_the_end(self) -> None:
        try:
            self.scrubber.finish(self._remove, _CLOSING_SECONDS)
        except ServiceError as error:
            self._note("deleted data could not be scrubbed before the end", error)
        finally:
            self.scrubber.stop()

    def _remove(self) -> None:
        """Take one batch of what is to leave the index out of it."""
        with self._log.read() as snapshot:
            queue = snapshot.index_queue.next(self._batch, "removals")
        self._apply(queue)

    def _upsert(self, changes: Sequence[QueuedPassage]) -> None:
        by_conversation: dict[int, list[QueuedPassage]] = {}
        for change in changes:
            by_conversation.setdefault(change.conversation_key or 0, []).append(change)
        collections = self._placement.of(by_conversation)
        by_collection: dict[int, list[QueuedPassage]] = {}
        for conversation_key, some in by_conversation.items():
            collection = collections.get(conversation_key)
            if collection is None:
                self._finish(some)
            else:
                by_collection.setdefault(collection.key, []).extend(some)
        for collection_key, some in by_collection.items():
            self._upsert_into(collection_key, some)

    def _upsert_into(self, collection_key: int, changes: Sequence[QueuedPassage]) -> None:
        with self._log.read() as snapshot:
            passages = snapshot.passages.by_keys(change.passage_key or 0 for change in changes)
        unusable = [key for key, one in passages.items() if not self._vectors.is_usable(one.vector)]
        try:
            embedded = self._vectors.embed([passages[key] for key in unusable])
        except (EmbedderDown, EmbedderRefused) as error:
            self._not_embedded(changes, unusable, error)
            return
        if embedded:
            # Before anything else can fail: an embedder may ask money for the same texts again.
            with self._log.write() as transaction:
                transaction.passages.store_vectors(embedded)
        vectors = {
            key: one.vector
            for key, one in passages.items()
            if one.vector is not None and key not in unusable
        }
        vectors |= embedded

        def put(some: Sequence[QueuedPassage]) -> None:
            wanted = {change.passage_key for change in some}
            ready = [one for key, one in passages.items() if key in wanted and key in vectors]
            self._put(collection_key, some, ready, vectors)

        self._try(collection_key, changes, put)

    def _put(
        self,
        collection_key: int,
        changes: Sequence[QueuedPassage],
        ready: Sequence[StoredPassage],
        vectors: Mapping[int, Vector],
    ) -> None:
        """Write passages to the index and take them off the queue."""
        for target in self.scrubber.targets(collection_key) if ready else ():
            self._index.upsert(
                target,
                [passage.key for passage in ready],
                [passage.conversation_key for passage in ready],
                np.stack([vectors[passage.key] for passage in ready]),
            )
        with self._log.write() as transaction:
            # A turn deleted meanwhile has left the queue; its vector must leave the index again.
            alive = {place.key for place in transaction.passages.places(one.key for one in ready)}
            gone = {passage.key for passage in ready if passage.key not in alive}
            if gone:
                transaction.residues.add("collection", collection_key)
            # Whoever deleted it has queued that already if the conversation had its place by then.
            transaction.index_queue.add_deletions(
                collection_key, sorted(gone - transaction.index_queue.deletions(collection_key))
            )
            transaction.index_queue.finish([change.queue_key for change in changes])
        self._done()

    def _not_embedded(
        self,
        changes: Sequence[QueuedPassage],
        asked: Sequence[int],
        error: EmbedderDown | EmbedderRefused,
    ) -> None:
        """Count a failure for the texts it is about; the others are simply tried again."""
        if isinstance(error, EmbedderDown) and not error.positions:
            self._note("the embedder does not answer", error)
            pause = error.retry_after_seconds or _BACK_OFF_SECONDS
            self._embedder_rests_until = time.monotonic() + pause
            return
        if not error.positions and len(changes) > 1:
            for change in changes:
                self._upsert([change])
            return
        named = {asked[position] for position in error.positions} or set(asked)
        for change in changes:
            if change.passage_key in named:
                self._count_failure(change, error.message)
        self._stopping.wait(_BACK_OFF_SECONDS)

    def _delete(self, changes: Sequence[QueuedPassage]) -> None:
        for collection_key in sorted({change.collection_key or 0 for change in changes}):

            def take_out(some: Sequence[QueuedPassage], collection: int = collection_key) -> None:
                for target in self.scrubber.targets(collection):
                    self._index.delete(target, [change.passage_key or 0 for change in some])
                self._finish(some)

            some = [change for change in changes if change.collection_key == collection_key]
            self._try(collection_key, some, take_out)

    def _drop(self, changes: Sequence[QueuedPassage]) -> None:
        for change in changes:

            def drop(some: Sequence[QueuedPassage], collection: int) -> None:
                self._index.drop(collection)
                with self._log.write() as transaction:
                    transaction.placements.remove(collection)
                self._finish(some)

            collection_key = change.collection_key or 0
            self._try(collection_key, [change], partial(drop, collection=collection_key))

    def _try(self, collection_key: int, changes: Sequence[QueuedPassage], work: Work) -> bool:
        """Do work on the index; if it fails, find out why. Return whether it is worth going on.

        A damaged collection is repaired, and all of it is in the queue again. If the index takes
        no writes at all, nobody is to blame. Else each change is tried alone, and counted.
        """
        try:
            work(changes)
        except VectorIndexDown as error:
            if self._mend(collection_key):
                return True
            if not self._repair.takes_writes():
                self._note("the vector index takes no writes", error)
                self._stopping.wait(self._outage_seconds)
                self._outage_seconds = min(2 * self._outage_seconds, _LONGEST_BACK_OFF_SECONDS)
                return False
            if len(changes) == 1:
                self._count_failure(changes[0], error.message)
                self._stopping.wait(_BACK_OFF_SECONDS)
            else:
                return all(self._try(collection_key, [change], work) for change in changes)
        return True

    def _mend(self, collection_key: int) -> bool:
        # What a scrub has begun is not known to the log yet, and would be taken for lost.
        self.scrubber.stop()
        return self._repair.mend(collection_key)

    def _finish(self, changes: Sequence[QueuedPassage]) -> None:
        with self._log.write() as transaction:
            transaction.index_queue.finish([change.queue_key for change in changes])
        self._done()

    def _done(self) -> None:
        self._outage_seconds = _BACK_OFF_SECONDS
        self._clear_trouble()

    def _clear_trouble(self) -> None:
        if time.monotonic() >= self._embedder_rests_until:
            self._trouble = None

    def _count_failure(self, change: QueuedPassage, message: str) -> None:
        is_worn_out = change.attempts + 1 >= MAX_ATTEMPTS
        logger.warning("a change could not be indexed", error=message, parked=is_worn_out)
        with self._log.write() as transaction:
            transaction.index_queue.fail(
                [change.queue_key], message, parked_at=clock.now() if is_worn_out else None
            )

    def _note(self, event: str, error: ServiceError) -> None:
        logger.warning(event, error=error.message)
        self._trouble = error.message
