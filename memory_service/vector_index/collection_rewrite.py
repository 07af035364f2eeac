"""Rewriting a collection: a copy is filled, and then replaces it in one transaction.

Chroma keeps deleted vectors in the files of a collection until the collection is dropped.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from memory_service.core.models import Collection, StoredPassage, Vector
from memory_service.core.protocols import VectorIndex
from memory_service.turn_log.log import TurnLog

Steps = Generator[float, None, None]
"""Work in small steps; each yields the seconds to wait before the next."""


class _Copying(NamedTuple):
    """A collection, the key of its copy, and the passages that are copied."""

    original: Collection
    copy_key: int
    passage_keys: list[int]


class CollectionRewriter:
    """Replaces collections by copies without their deleted vectors.

    While a copy is filled, changes go to both: `targets` says where.
    """

    def __init__(self, log: TurnLog, index: VectorIndex, *, batch: int) -> None:
        self._log = log
        self._index = index
        self._batch = batch
        self._copies: dict[int, int] = {}

    def targets(self, collection_key: int) -> list[int]:
        """Return the collections that a change goes to: itself, and its copy if there is one."""
        copy_key = self._copies.get(collection_key)
        return [collection_key] if copy_key is None else [collection_key, copy_key]

    def rewrite(self, collection_key: int, newest_residue: int) -> Steps:
        """Replace a collection; residues up to `newest_residue` are not in the copy."""
        copying = self._begin(collection_key)
        if copying is None:
            return
        self._copies[collection_key] = copying.copy_key
        is_in_place = False
        try:
            for start in range(0, len(copying.passage_keys), self._batch):
                self._copy(copying, copying.passage_keys[start : start + self._batch])
                yield 0.0
            is_in_place = self._switch(copying, newest_residue)
        finally:
            del self._copies[collection_key]
            if not is_in_place:
                with self._log.write() as transaction:
                    transaction.index_queue.add_drop(copying.copy_key)

    def _begin(self, collection_key: int) -> _Copying | None:
        """Reserve a copy; None if the collection is gone, or was empty and is dropped."""
        with self._log.write() as transaction:
            original = transaction.collections.get(collection_key)
            if original is None:
                return None
            if not transaction.placements.conversations_in(collection_key):
                transaction.placements.retire(collection_key)
                return None
            passage_keys = sorted(transaction.collections.expected_keys(collection_key))
            return _Copying(original, transaction.collections.reserve(), passage_keys)

    def _copy(self, copying: _Copying, passage_keys: list[int]) -> None:
        with self._log.read() as snapshot:
            placed = snapshot.placements.conversations_in(copying.original.key)
            passages = snapshot.passages.by_keys(passage_keys).values()
        ready: list[tuple[StoredPassage, Vector]] = [
            (passage, passage.vector)
            for passage in passages
            if passage.vector is not None and passage.conversation_key in placed
        ]
        if ready:
            self._index.upsert(
                copying.copy_key,
                [passage.key for passage, _ in ready],
                [passage.conversation_key for passage, _ in ready],
                np.stack([vector for _, vector in ready]),
            )

    def _switch(self, copying: _Copying, newest_residue: int) -> bool:
        with self._log.write() as transaction:
            current = transaction.collections.get(copying.original.key)
            if current is None:
                return False  # Its conversation was deleted meanwhile.
            transaction.placements.replace(current, copying.copy_key, settled=newest_residue)
            return True
