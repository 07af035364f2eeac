"""Rebuild of the vector index from the vectors in the log; no embedder is needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import structlog

from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import IndexRebuild
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog

logger = structlog.get_logger(__name__)

PROPERTY = "index_rebuild"
"""The property that says how far a rebuild is: after a kill the next one continues it."""

_REMOVING, _FILLING, _DONE = "removing", "filling", "done"


class Rebuild:
    """One rebuild, from the beginning or from where a kill left it."""

    def __init__(self, log: TurnLog, index: VectorIndex, *, batch: int) -> None:
        self._log = log
        self._index = index
        self._batch = batch

    def run(
        self, on_progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> IndexRebuild:
        """Fill every collection of the log; `on_progress` gets (vectors done, of how many).

        Raises VectorIndexDown when the folder cannot be written.
        """
        with self._log.read() as snapshot:
            resumes = snapshot.properties.get(PROPERTY) == _FILLING
        try:
            missing = self._missing() if resumes else None
        except VectorIndexDown as error:
            logger.warning("the unfinished index is unreadable", error=error.message)
            missing = None
        if missing is None:
            resumes = False
            self._note(_REMOVING)
            self._index.reset()
            self._note(_FILLING)
            missing = self._missing()
        with self._log.read() as snapshot:
            total = sum(len(snapshot.collections.expected_keys(key)) for key in missing)
        done = total - sum(map(len, missing.values()))
        on_progress(done, total)
        for collection_key, keys in missing.items():
            for start in range(0, len(keys), self._batch):
                batch = keys[start : start + self._batch]
                self._fill(collection_key, batch)
                done += len(batch)
                on_progress(done, total)
        self._note(_DONE)
        with self._log.read() as snapshot:
            return IndexRebuild(
                total, len(missing), resumed=resumes, waiting=snapshot.index_queue.lag()
            )

    def _missing(self) -> dict[int, list[int]]:
        """Return the passages that are not in the index yet, by collection."""
        with self._log.read() as snapshot:
            expected = {
                collection.key: snapshot.collections.expected_keys(collection.key)
                for collection in snapshot.collections.all()
            }
        return {key: sorted(keys - self._index.keys(key)) for key, keys in expected.items() if keys}

    def _fill(self, collection_key: int, keys: list[int]) -> None:
        with self._log.read() as snapshot:
            passages = [
                passage
                for passage in snapshot.passages.by_keys(keys).values()
                if passage.vector is not None
            ]
        self._index.upsert(
            collection_key,
            [passage.key for passage in passages],
            [passage.conversation_key for passage in passages],
            np.stack([passage.vector for passage in passages if passage.vector is not None]),
        )

    def _note(self, state: str) -> None:
        with self._log.write() as transaction:
            transaction.properties.set(PROPERTY, state)


def end_rebuild(log: TurnLog) -> None:
    """Note that a running service has taken over: its indexer finishes an unfinished rebuild."""
    with log.write() as transaction:
        if transaction.properties.get(PROPERTY) is not None:
            transaction.properties.set(PROPERTY, _DONE)
