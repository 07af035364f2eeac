"""The vectors of conversations in memory, for scopes whose vectors are all compared.

An entry grows by what was appended since it was read. A deletion causes it to be read again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Integers, Matrix, ScopeMember, Vector
from memory_service.recall.caches.conversation_cache import (
    ConversationCache,
    extended,
    size_in_memory,
)
from memory_service.turn_log.transactions import ReadTransaction


@dataclass(frozen=True, slots=True)
class ConversationVectors:
    """The passages of one conversation: keys and turns of shape (n,), vectors (n, dimension).

    Both columns of keys rise. `erasures` is the number of deletions that the entry reflects.
    """

    passages: Integers
    turns: Integers
    vectors: Matrix
    erasures: int

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return size_in_memory(self.vectors, self.passages, self.turns)

    def cosines(self, query: Vector) -> npt.NDArray[np.float32]:
        """Return the similarity of each passage to a query, shape (n,)."""
        similarities: npt.NDArray[np.float32] = self.vectors @ query
        return similarities


class VectorCache:
    """Vectors by conversation, together at most `max_bytes`."""

    def __init__(self, dimension: int, max_bytes: int) -> None:
        self._dimension = dimension
        self._cache = ConversationCache[ConversationVectors](max_bytes)

    def get(
        self, snapshot: ReadTransaction, conversation_key: int, member: ScopeMember
    ) -> ConversationVectors:
        """Return a conversation's vectors as the snapshot has them, or newer."""
        entry = self._valid_entry(conversation_key, member)
        if entry is not None and len(entry.passages) >= member.passages:
            return entry
        with self._cache.growth_lock(conversation_key):
            entry = self._valid_entry(conversation_key, member) or self._empty(member.erasures)
            return self._cache.put(
                conversation_key, self._complete(snapshot, conversation_key, member, entry)
            )

    def _valid_entry(
        self, conversation_key: int, member: ScopeMember
    ) -> ConversationVectors | None:
        entry = self._cache.get(conversation_key)
        return entry if entry is not None and entry.erasures == member.erasures else None

    def _complete(
        self,
        snapshot: ReadTransaction,
        conversation_key: int,
        member: ScopeMember,
        entry: ConversationVectors,
    ) -> ConversationVectors:
        """Return an entry with what the log has beyond it."""
        grown = _grown(snapshot, conversation_key, entry)
        # Passages of an embedder that answers later have no vector at first, and may get theirs in
        # another order than that of their keys.
        if len(grown.passages) < member.passages and (
            len(grown.passages) != snapshot.passages.vector_count(conversation_key)
        ):
            return _grown(snapshot, conversation_key, self._empty(member.erasures))
        return grown

    def _empty(self, erasures: int) -> ConversationVectors:
        keys = np.empty(0, dtype=np.int64)
        vectors = np.empty((0, self._dimension), dtype=np.float32)
        return ConversationVectors(keys, keys, vectors, erasures)


def _grown(
    snapshot: ReadTransaction, conversation_key: int, entry: ConversationVectors
) -> ConversationVectors:
    last = int(entry.passages[-1]) if len(entry.passages) else 0
    passages, turns, blobs = snapshot.passages.vectors_after(conversation_key, last)
    if not passages:
        return entry
    fresh = np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(len(blobs), -1)
    return ConversationVectors(
        extended(entry.passages, np.array(passages, dtype=np.int64)),
        extended(entry.turns, np.array(turns, dtype=np.int64)),
        extended(entry.vectors, fresh.astype(np.float32)),
        entry.erasures,
    )
