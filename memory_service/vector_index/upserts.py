"""Upserts: passages that are added to the vector index, with the vectors that they lack.

A batch passes four steps: its conversations are placed in collections, its passages are read,
missing vectors are embedded and stored, and each collection is written and its changes are removed
from the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from memory_service.core.errors import EmbedderDown, EmbedderRefused
from memory_service.core.models import Collection, QueuedUpsert, StoredPassage, Vector
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.condition import IndexerCondition
from memory_service.vector_index.failures import FailureHandler
from memory_service.vector_index.passage_vectors import PassageVectors
from memory_service.vector_index.placement import Placement
from memory_service.vector_index.retry_policy import RetryPolicy


class ReadyPassage(NamedTuple):
    """A passage with the vector that is written to the index."""

    passage: StoredPassage
    vector: Vector


class UpsertWriter:
    """Adds queued passages to the index.

    `targets` returns the collections that a change of a collection goes to: itself, and the one
    that is to replace it.
    """

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        placement: Placement,
        vectors: PassageVectors,
        failures: FailureHandler,
        condition: IndexerCondition,
        policy: RetryPolicy,
        *,
        targets: Callable[[int], Sequence[int]],
    ) -> None:
        self._log = log
        self._index = index
        self._placement = placement
        self._vectors = vectors
        self._failures = failures
        self._condition = condition
        self._policy = policy
        self._targets = targets

    def apply(self, changes: Sequence[QueuedUpsert]) -> None:
        """Add the passages of a batch to the collections of their conversations."""
        placed = self._placement.of(dict.fromkeys(change.conversation_key for change in changes))
        self.finish([change for change in changes if change.conversation_key not in placed])
        for collection_key, members in _by_collection(changes, placed).items():
            self._add(collection_key, members)

    def finish(self, changes: Sequence[QueuedUpsert]) -> None:
        """Remove changes from the queue whose conversation was deleted."""
        if changes:
            with self._log.write() as transaction:
                transaction.index_queue.finish([change.queue_key for change in changes])
            self._condition.succeeded()

    def _add(self, collection_key: int, changes: Sequence[QueuedUpsert]) -> None:
        with self._log.read() as snapshot:
            passages = snapshot.passages.by_keys(change.passage_key for change in changes)
        unusable = [
            passage for passage in passages.values() if not self._vectors.is_usable(passage.vector)
        ]
        try:
            embedded = self._embed(unusable)
        except (EmbedderDown, EmbedderRefused) as error:
            self._count_refused(changes, [passage.key for passage in unusable], error)
            return
        ready = _ready(passages, {passage.key for passage in unusable}, embedded)

        def write(attempted: Sequence[QueuedUpsert]) -> None:
            keys = {change.passage_key for change in attempted}
            self._write(
                collection_key,
                attempted,
                [passage for key, passage in ready.items() if key in keys],
            )

        self._failures.attempt(collection_key, changes, write)

    def _embed(self, passages: Sequence[StoredPassage]) -> Mapping[int, Vector]:
        """Return the vectors of passages, stored in the log.

        They are stored before anything else can fail: an embedder may charge for the same texts
        again.
        """
        embedded = self._vectors.embed(passages)
        if embedded:
            with self._log.write() as transaction:
                transaction.passages.store_vectors(embedded)
        return embedded

    def _write(
        self, collection_key: int, changes: Sequence[QueuedUpsert], ready: Sequence[ReadyPassage]
    ) -> None:
        """Write passages to the index and remove their changes from the queue."""
        keys = [passage.key for passage, _ in ready]
        for target in self._targets(collection_key) if ready else ():
            self._index.upsert(
                target,
                keys,
                [passage.conversation_key for passage, _ in ready],
                np.stack([vector for _, vector in ready]),
            )
        with self._log.write() as transaction:
            # A turn that was deleted meanwhile has left the queue: its vector is removed again.
            remaining = {place.key for place in transaction.passages.places(keys)}
            deleted = set(keys) - remaining
            if deleted:
                transaction.residues.add("collection", collection_key)
            # The deletion has queued the removal itself if the conversation was placed by then.
            transaction.index_queue.add_deletions(
                collection_key, sorted(deleted - transaction.index_queue.deletions(collection_key))
            )
            transaction.index_queue.finish([change.queue_key for change in changes])
        self._condition.succeeded()

    def _count_refused(
        self,
        changes: Sequence[QueuedUpsert],
        asked: Sequence[int],
        error: EmbedderDown | EmbedderRefused,
    ) -> None:
        """Count a failure for the texts that the error names; the others are tried again.

        `asked` are the keys of the passages whose texts were embedded, in the order of the
        error's positions.
        """
        if isinstance(error, EmbedderDown) and not error.positions:
            self._condition.note("the embedder does not answer", error)
            self._condition.rest_embedder(error.retry_after_seconds or self._policy.pause_seconds)
            return
        if not error.positions and len(changes) > 1:
            for change in changes:
                self.apply([change])
            return
        refused = {asked[position] for position in error.positions} or set(asked)
        for change in changes:
            if change.passage_key in refused:
                self._failures.count(change, error.message)
        self._failures.pause()


def _by_collection(
    changes: Iterable[QueuedUpsert], placed: Mapping[int, Collection]
) -> dict[int, list[QueuedUpsert]]:
    """Return the changes by the key of their collection."""
    by_collection: dict[int, list[QueuedUpsert]] = {}
    by_conversation: dict[int, list[QueuedUpsert]] = {}
    for change in changes:
        by_conversation.setdefault(change.conversation_key, []).append(change)
    for conversation_key, members in by_conversation.items():
        if conversation_key in placed:
            by_collection.setdefault(placed[conversation_key].key, []).extend(members)
    return by_collection


def _ready(
    passages: Mapping[int, StoredPassage], unusable: set[int], embedded: Mapping[int, Vector]
) -> dict[int, ReadyPassage]:
    """Return the passages that have a usable vector; a text without words has none."""
    ready: dict[int, ReadyPassage] = {}
    for key, passage in passages.items():
        vector = embedded.get(key) if key in unusable else passage.vector
        if vector is not None:
            ready[key] = ReadyPassage(passage, vector)
    return ready
