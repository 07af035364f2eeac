"""The vectors of conversations in memory, for scopes that are scanned exactly.

An entry grows by what was appended since it was read; a deletion makes it be read again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Matrix, ScopeMember, Vector
from memory_service.recall.conversation_cache import ConversationCache, extended, size_in_memory
from memory_service.turn_log.transactions import ReadTransaction

Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConversationVectors:
    """Passages of one conversation: keys and turns of shape (n,), vectors (n, dimension).

    Both kinds of keys rise. `erasures` is the number of deletions up to which this is true.
    """

    passages: Keys
    turns: Keys
    vectors: Matrix
    erasures: int

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return size_in_memory(self.vectors, self.passages, self.turns)

    def cosines(self, query: Vector) -> npt.NDArray[np.float32]:
        """Return the similarity of each passage to a query, shape (n,)."""
        scores: npt.NDArray[np.float32] = self.vectors @ query
        return scores


class VectorCache:
    """Vectors by conversation; the least recently used go first."""

    def __init__(self, dimension: int, max_bytes: int) -> None:
        self._dimension = dimension
        self._cache = ConversationCache[ConversationVectors](max_bytes)

    def get(
        self, snapshot: ReadTransaction, conversation_key: int, member: ScopeMember
    ) -> ConversationVectors:
        """Return a conversation's vectors as the reader's snapshot has them, or newer."""
        known = self._known(conversation_key, member)
        if known is not None and len(known.passages) >= member.passages:
            return known
        with self._cache.growing(conversation_key):
            known = self._known(conversation_key, member) or self._nothing(member.erasures)
            grown = _grown(snapshot, conversation_key, known)
            # Passages that an embedder answers for later have no vector at first, and may get
            # theirs in another order than their keys'.
            if len(grown.passages) < member.passages and (
                len(grown.passages) != snapshot.passages.vector_count(conversation_key)
            ):
                grown = _grown(snapshot, conversation_key, self._nothing(member.erasures))
            return self._cache.keep(conversation_key, grown)

    def _known(self, conversation_key: int, member: ScopeMember) -> ConversationVectors | None:
        known = self._cache.find(conversation_key)
        return known if known is not None and known.erasures == member.erasures else None

    def _nothing(self, erasures: int) -> ConversationVectors:
        none = np.empty(0, dtype=np.int64)
        empty = np.empty((0, self._dimension), dtype=np.float32)
        return ConversationVectors(none, none, empty, erasures)


def _grown(
    snapshot: ReadTransaction, conversation_key: int, known: ConversationVectors
) -> ConversationVectors:
    last = int(known.passages[-1]) if len(known.passages) else 0
    passages, turns, blobs = snapshot.passages.vectors_after(conversation_key, last)
    if not passages:
        return known
    fresh = np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(len(blobs), -1)
    return ConversationVectors(
        extended(known.passages, np.array(passages, dtype=np.int64)),
        extended(known.turns, np.array(turns, dtype=np.int64)),
        extended(known.vectors, fresh.astype(np.float32)),
        known.erasures,
    )
