"""The background indexer: takes small batches from the log's queue into the vector index.

The queue is part of the log, so a batch that was cut short is simply taken again. Conversations
share collections while they are small; one that outgrows its share gets a collection of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import structlog

from memory_service import clock
from memory_service.chunking import Window, passage_text
from memory_service.errors import ServiceError, VectorIndexDown
from memory_service.interfaces import Embedder, TurnLog, VectorIndex
from memory_service.records import (
    Collection,
    QueuedPassage,
    StoredPassage,
    Vector,
)
from memory_service.turn_log.log import Reader, Writer

log_line = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
"""A change that failed this often is parked, so that it does not hold up the others."""

_IDLE_SECONDS = 1.0
_BACK_OFF_SECONDS = 0.5
# Chroma holds the interpreter while it writes (10 ms for one vector, 60 ms for 256), and all
# requests stand still. So what comes in gathers for a moment, and until nothing came for a second
# the index gets a fifth of the time; what it does not have yet, a recall scans in the log.
_GATHER_SECONDS = 0.2
_REST_PER_WORK = 4.0
_QUIET_SECONDS = 1.0


class Indexer:
    """One thread that keeps the vector index level with the log."""

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
        self._embedder = embedder
        self._batch = batch
        self._capacity = collection_vectors
        self._wake = threading.Event()
        self._woken_at = -_QUIET_SECONDS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Give parked changes another chance and begin to work in the background."""
        with self._log.write() as log:
            log.unpark()
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Say that there is something new in the queue."""
        self._woken_at = time.monotonic()
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch at hand and end the thread; what is left stays in the queue."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def drain(self) -> None:
        """Work off the whole queue in the calling thread; for commands, not beside `start`."""
        while self.step():
            pass

    def step(self) -> bool:
        """Take one batch into the index; return whether there was any."""
        with self._log.read() as log:
            queue = log.queued(self._batch)
        for action, group in groupby(queue, key=lambda change: change.action):
            changes = list(group)
            if action == "upsert":
                self._upsert(changes)
            elif action == "delete":
                self._delete(changes)
            else:
                self._drop(changes)
        return bool(queue)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                worked = self.step()
            except ServiceError as error:
                # The log is busy or full: it stays the truth, and the queue stays in it.
                log_line.warning("indexing is waiting", error=error.message)
                worked = False
                self._stopping.wait(_BACK_OFF_SECONDS)
                began = time.monotonic()
            rest = _REST_PER_WORK * (time.monotonic() - began)
            if not worked:
                self._wake.wait(_IDLE_SECONDS)
            if time.monotonic() - self._woken_at < _QUIET_SECONDS:
                self._stopping.wait(max(_GATHER_SECONDS, rest))

    def _upsert(self, changes: Sequence[QueuedPassage]) -> None:
        by_conversation: dict[int, list[QueuedPassage]] = {}
        for change in changes:
            by_conversation.setdefault(change.conversation_key or 0, []).append(change)
        by_collection: dict[int, list[QueuedPassage]] = {}
        for conversation_key, some in by_conversation.items():
            collection = self._placement(conversation_key)
            if collection is None:
                self._finish(some)
            else:
                by_collection.setdefault(collection.key, []).extend(some)
        for collection_key, some in by_collection.items():
            self._upsert_into(collection_key, some)

    def _upsert_into(self, collection_key: int, changes: Sequence[QueuedPassage]) -> None:
        with self._log.read() as log:
            passages = log.passages_by_key(change.passage_key or 0 for change in changes)
            vectors = self._vectors(log, list(passages.values()))
        ready = [
            (change, passages[key], vector)
            for change in changes
            if (key := change.passage_key or 0) in passages
            and (vector := vectors.get(key)) is not None
        ]
        try:
            if ready:
                self._index.upsert(
                    collection_key,
                    [passage.key for _, passage, _ in ready],
                    [passage.conversation_key for _, passage, _ in ready],
                    np.stack([vector for _, _, vector in ready]),
                )
        except VectorIndexDown as error:
            self._failed(changes, error)
            return
        with self._log.write() as log:
            # A turn deleted meanwhile has left the queue; its vector must leave the index again.
            alive = log.passages_by_key(passage.key for _, passage, _ in ready)
            gone = {passage.key for _, passage, _ in ready if passage.key not in alive}
            # Whoever deleted it has queued that already if the conversation had its place by then.
            log.queue_deletion(collection_key, sorted(gone - log.queued_deletions(collection_key)))
            log.finish([change.queue_key for change in changes])

    def _vectors(self, log: Reader, passages: Sequence[StoredPassage]) -> dict[int, Vector]:
        """Return the passages' vectors: stored ones, and new ones for what has none yet."""
        found = {passage.key: passage.vector for passage in passages if passage.vector is not None}
        missing = [passage for passage in passages if passage.vector is None]
        if missing:
            texts = self._texts(log, missing)
            fresh = self._embedder.embed_documents(texts)
            found.update(
                (passage.key, vector)
                for passage, vector in zip(missing, fresh, strict=True)
                if vector is not None
            )
        return found

    def _texts(self, log: Reader, passages: Sequence[StoredPassage]) -> list[str]:
        turns = {
            turn.key: turn
            for conversation_key in {passage.conversation_key for passage in passages}
            for turn in log.turns_of_keys(
                conversation_key,
                [one.turn_key for one in passages if one.conversation_key == conversation_key],
            )
        }
        return [
            passage_text(turn.speaker, turn.text, Window(passage.start, passage.end))
            for passage in passages
            for turn in [turns[passage.turn_key]]
        ]

    def _placement(self, conversation_key: int) -> Collection | None:
        """Return the collection of a conversation, placing or moving it first if needed."""
        with self._log.read() as log:
            placed = log.placement(conversation_key)
            if placed is not None and (
                placed.conversation_key is not None or placed.vectors <= self._capacity
            ):
                return placed
        with self._log.write() as log:
            return self._place(log, conversation_key)

    def _place(self, log: Writer, conversation_key: int) -> Collection | None:
        owner = log.project_of_conversation(conversation_key)
        if owner is None:
            return None
        project_key, user_key = owner
        placed = log.placement(conversation_key)
        own_share, needed = self._capacity // 2, log.passage_count(conversation_key)
        if needed > own_share:
            chosen = log.create_collection(project_key, conversation_key)
        else:
            # Room for all of it: where only its first batch fits, it would have to move again.
            chosen = log.collection_with_room(
                project_key, user_key, below=self._capacity - needed + 1
            ) or log.create_collection(project_key, None)
        if placed is None:
            log.place(conversation_key, chosen.key)
        elif placed.key != chosen.key:
            log.move(conversation_key, placed, chosen)
        return chosen

    def _delete(self, changes: Sequence[QueuedPassage]) -> None:
        for collection_key in {change.collection_key or 0 for change in changes}:
            some = [change for change in changes if change.collection_key == collection_key]
            try:
                self._index.delete(collection_key, [change.passage_key or 0 for change in some])
            except VectorIndexDown as error:
                self._failed(some, error)
                continue
            with self._log.write() as log:
                log.finish([change.queue_key for change in some])

    def _drop(self, changes: Sequence[QueuedPassage]) -> None:
        for change in changes:
            collection_key = change.collection_key or 0
            try:
                self._index.drop(collection_key)
            except VectorIndexDown as error:
                self._failed([change], error)
                continue
            with self._log.write() as log:
                log.finish([change.queue_key])
                log.forget_collection(collection_key)

    def _finish(self, changes: Sequence[QueuedPassage]) -> None:
        with self._log.write() as log:
            log.finish([change.queue_key for change in changes])

    def _failed(self, changes: Sequence[QueuedPassage], error: ServiceError) -> None:
        keys = [change.queue_key for change in changes]
        worn_out = {change.queue_key for change in changes if change.attempts + 1 >= MAX_ATTEMPTS}
        log_line.warning(
            "vectors could not be indexed",
            error=error.message,
            count=len(keys),
            parked=len(worn_out),
        )
        with self._log.write() as log:
            log.fail([key for key in keys if key not in worn_out], error.message, parked_at=None)
            log.fail(sorted(worn_out), error.message, parked_at=clock.now())
        self._stopping.wait(_BACK_OFF_SECONDS)
