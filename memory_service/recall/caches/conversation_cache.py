"""A cache with one entry per conversation, bounded in bytes; the least recently used go first.

Entries consist of arrays that grow at their end. The vectors of a conversation of 100,000 turns
take 100 MB: copying them for each turn that is appended would hold up every recall.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

_GROWTH_LOCKS = 16

Scalar = TypeVar("Scalar", bound=np.generic)


class _Sized(Protocol):
    @property
    def size(self) -> int:
        """Bytes in memory."""


Entry = TypeVar("Entry", bound=_Sized)


class ConversationCache(Generic[Entry]):
    """Entries by conversation key, together at most `max_bytes`. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[int, Entry] = LRUCache(
            max_bytes, getsizeof=lambda entry: entry.size
        )
        self._lock = threading.Lock()
        self._growth_locks = [threading.Lock() for _ in range(_GROWTH_LOCKS)]

    def growth_lock(self, conversation_key: int) -> AbstractContextManager[object]:
        """Return the lock to hold while an entry is read or extended.

        Only one thread at a time may append to the arrays of an entry.
        """
        return self._growth_locks[conversation_key % _GROWTH_LOCKS]

    def get(self, conversation_key: int) -> Entry | None:
        """Return the entry of a conversation and mark it as used."""
        with self._lock:
            return self._entries.get(conversation_key)

    def put(self, conversation_key: int, entry: Entry) -> Entry:
        """Replace the entry of a conversation and return the new one.

        An entry that is larger than the whole cache is not kept.
        """
        with self._lock:
            self._entries.pop(conversation_key, None)
            if entry.size <= self._entries.maxsize:
                self._entries[conversation_key] = entry
        return entry


def extended(array: npt.NDArray[Scalar], fresh: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return an array with further rows, in the memory of the first where it has room for them.

    Views of the first array keep their content. Only the longest array on a memory may be extended.
    """
    memory = array if array.base is None else array.base
    old, total = len(array), len(array) + len(fresh)
    if total > len(memory):
        memory = np.empty((max(total, old + old // 4), *array.shape[1:]), array.dtype)
        memory[:old] = array
    memory[old:total] = fresh
    return memory[:total]


def size_in_memory(*arrays: npt.NDArray[Any]) -> int:
    """Return the bytes that arrays take, including the room behind them."""
    return sum((array if array.base is None else array.base).nbytes for array in arrays)
