"""The background indexer: takes small batches from the log's queue into the vector index.

The queue is part of the log, so a batch that was cut short is simply taken again. Conversations
share collections while they are small; one that outgrows its share gets a collection of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import structlog

from memory_service import clock
from memory_service.chunking import Window, passage_text
from memory_service.errors import EmbedderDown, EmbedderRefused, ServiceError, VectorIndexDown
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
# One vector costs Chroma 10 ms, 256 at once cost 60 ms: what comes in gathers for a moment. What
# the index does not have yet, a recall compares in the log.
_GATHER_SECONDS = 0.2


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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Give parked changes another chance and begin to work in the background."""
        with self._log.write() as log:
            log.unpark()
        self._restore()
        self._thread.start()

    def _restore(self) -> None:
        """Queue everything again that was in collections which the index has lost."""
        with self._log.read() as log:
            held = [one.key for one in log.all_collections() if one.vectors]
        for collection_key in held:
            try:
                if self._index.exists(collection_key):
                    continue
            except VectorIndexDown as error:
                log_line.warning("a collection cannot be looked at", error=error.message)
                continue
            with self._log.write() as log:
                count = log.requeue(collection_key)
            if count:
                log_line.warning("a collection was lost and is built again", vectors=count)

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

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
        """Work off the whole queue in the calling thread; for commands, not beside `start`."""
        while self.step():
            pass

    def step(self) -> int:
        """Take one batch into the index; return how many changes it was."""
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
        return len(queue)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                done = self.step()
            except ServiceError as error:
                # The log is busy or full: it stays the truth, and the queue stays in it.
                log_line.warning("indexing is waiting", error=error.message)
                done = 0
                self._stopping.wait(_BACK_OFF_SECONDS)
            if done == 0:
                self._wake.wait(_IDLE_SECONDS)
            if done < self._batch:
                self._stopping.wait(_GATHER_SECONDS)

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
        try:
            embedded = self._embed(passages)
        except (EmbedderDown, EmbedderRefused) as error:
            asked = [key for key, one in passages.items() if one.vector is None]
            self._not_embedded(changes, asked, error)
            return
        vectors = {key: one.vector for key, one in passages.items() if one.vector is not None}
        vectors |= embedded
        ready = [passages[key] for key in passages if key in vectors]
        try:
            if ready:
                self._index.upsert(
                    collection_key,
                    [passage.key for passage in ready],
                    [passage.conversation_key for passage in ready],
                    np.stack([vectors[passage.key] for passage in ready]),
                )
        except VectorIndexDown as error:
            self._failed(changes, error)
            return
        with self._log.write() as log:
            # A turn deleted meanwhile has left the queue; its vector must leave the index again.
            alive = {place.key for place in log.passage_places(one.key for one in ready)}
            gone = {passage.key for passage in ready if passage.key not in alive}
            # Whoever deleted it has queued that already if the conversation had its place by then.
            log.queue_deletion(collection_key, sorted(gone - log.queued_deletions(collection_key)))
            log.store_vectors(embedded)
            log.finish([change.queue_key for change in changes])

    def _embed(self, passages: Mapping[int, StoredPassage]) -> dict[int, Vector]:
        """Return the vectors of passages that have none yet; texts without words have none."""
        missing = [passage for passage in passages.values() if passage.vector is None]
        if not missing or self._embedder.embeds_with_write:
            return {}
        with self._log.read() as log:
            texts = self._texts(log, missing)
        known = [passage for passage in missing if passage.key in texts]
        fresh = self._embedder.embed_documents([texts[passage.key] for passage in known])
        return {
            passage.key: vector
            for passage, vector in zip(known, fresh, strict=True)
            if vector is not None
        }

    def _not_embedded(
        self,
        changes: Sequence[QueuedPassage],
        asked: Sequence[int],
        error: EmbedderDown | EmbedderRefused,
    ) -> None:
        """Count a failure for the texts it is about; the others are simply tried again."""
        if isinstance(error, EmbedderDown) and not error.positions:
            log_line.warning("the embedder does not answer", error=error.message)
            self._stopping.wait(error.retry_after_seconds or _BACK_OFF_SECONDS)
            return
        if not error.positions and len(changes) > 1:
            for change in changes:
                self._upsert([change])
            return
        named = {asked[position] for position in error.positions} or set(asked)
        self._failed([change for change in changes if change.passage_key in named], error)

    def _texts(self, log: Reader, passages: Sequence[StoredPassage]) -> dict[int, str]:
        """Return what each passage says, without those that were deleted meanwhile."""
        by_conversation: dict[int, list[int]] = {}
        for passage in passages:
            by_conversation.setdefault(passage.conversation_key, []).append(passage.turn_key)
        turns = {
            turn.key: turn
            for conversation_key, keys in by_conversation.items()
            for turn in log.turns_of_keys(conversation_key, keys)
        }
        return {
            passage.key: passage_text(turn.speaker, turn.text, Window(passage.start, passage.end))
            for passage in passages
            if (turn := turns.get(passage.turn_key)) is not None
        }

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
