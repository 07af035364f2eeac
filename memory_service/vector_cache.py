"""The vectors of conversations in memory, for scopes that are scanned exactly.

An entry grows by what was appended since it was read; a deletion makes it be read again. Together
they are bounded in bytes; what was used longest ago goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory_service.records import Matrix, ScopeMember, Vector
from memory_service.turn_log.log import Reader

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
        return self.vectors.nbytes + self.passages.nbytes + self.turns.nbytes

    def cosines(self, query: Vector) -> npt.NDArray[np.float32]:
        """Return the similarity of each passage to a query, shape (n,)."""
        scores: npt.NDArray[np.float32] = self.vectors @ query
        return scores


class VectorCache:
    """Vectors by conversation; the least recently used go first."""

    def __init__(self, dimension: int, max_bytes: int) -> None:
        self._dimension = dimension
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, ConversationVectors] = OrderedDict()
        self._bytes = 0

    def get(self, log: Reader, conversation_key: int, member: ScopeMember) -> ConversationVectors:
        """Return a conversation's vectors as the reader's snapshot has them, or newer."""
        known = self._find(conversation_key)
        if known is not None and known.erasures == member.erasures:
            if len(known.passages) >= member.passages:
                return known
            grown = self._grown(log, conversation_key, known)
            # Passages that an embedder answers for later have no vector at first, and may get
            # theirs in another order than their keys'.
            if len(grown.passages) in (member.passages, log.vector_count(conversation_key)):
                return self._keep(conversation_key, grown)
        return self._keep(conversation_key, self._read(log, conversation_key, member.erasures))

    def _find(self, conversation_key: int) -> ConversationVectors | None:
        with self._lock:
            known = self._entries.get(conversation_key)
            if known is not None:
                self._entries.move_to_end(conversation_key)
            return known

    def _read(self, log: Reader, conversation_key: int, erasures: int) -> ConversationVectors:
        none = np.empty(0, dtype=np.int64)
        empty = np.empty((0, self._dimension), dtype=np.float32)
        nothing = ConversationVectors(none, none, empty, erasures)
        return self._grown(log, conversation_key, nothing)

    def _grown(
        self, log: Reader, conversation_key: int, known: ConversationVectors
    ) -> ConversationVectors:
        last = int(known.passages[-1]) if len(known.passages) else 0
        passages, turns, blobs = log.vectors_after(conversation_key, last)
        if not passages:
            return known
        fresh = np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(len(blobs), -1)
        return ConversationVectors(
            np.concatenate((known.passages, np.array(passages, dtype=np.int64))),
            np.concatenate((known.turns, np.array(turns, dtype=np.int64))),
            np.concatenate((known.vectors, fresh.astype(np.float32))),
            known.erasures,
        )

    def _keep(self, conversation_key: int, entry: ConversationVectors) -> ConversationVectors:
        with self._lock:
            before = self._entries.pop(conversation_key, None)
            self._bytes += entry.size - (before.size if before else 0)
            self._entries[conversation_key] = entry
            while self._bytes > self._max_bytes and self._entries:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.size
        return entry
