"""What is kept in memory of conversations: bounded in bytes, what was used longest ago goes first.

Entries are made of arrays that grow at their end. The vectors of a conversation of 100,000 turns
are 100 MB: copied for each turn that is added, they would hold up every recall.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

_LOCKS = 16

Scalar = TypeVar("Scalar", bound=np.generic)


class _Sized(Protocol):
    @property
    def size(self) -> int:
        """Bytes in memory."""


Entry = TypeVar("Entry", bound=_Sized)


class ConversationCache(Generic[Entry]):
    """Entries by conversation, together at most `max_bytes`; safe to use from many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._bytes = 0
        self._growing = [threading.Lock() for _ in range(_LOCKS)]

    def growing(self, conversation_key: int) -> AbstractContextManager[object]:
        """Hold this while an entry is read or extended: only one may write behind its arrays."""
        return self._growing[conversation_key % _LOCKS]

    def find(self, conversation_key: int) -> Entry | None:
        """Return the entry of a conversation, and note that it was used."""
        with self._lock:
            known = self._entries.get(conversation_key)
            if known is not None:
                self._entries.move_to_end(conversation_key)
            return known

    def keep(self, conversation_key: int, entry: Entry) -> Entry:
        """Put an entry in the place of the one before, and return it."""
        with self._lock:
            before = self._entries.pop(conversation_key, None)
            self._bytes += entry.size - (before.size if before else 0)
            self._entries[conversation_key] = entry
            while self._bytes > self._max_bytes and self._entries:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.size
        return entry


def extended(array: npt.NDArray[Scalar], fresh: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return an array with more rows behind it, in the memory of the first where that has room.

    Views of the first stay as they are. Only the longest array on a memory may be extended.
    """
    memory = array if array.base is None else array.base
    old, total = len(array), len(array) + len(fresh)
    if total > len(memory):
        memory = np.empty((max(total, old + old // 4), *array.shape[1:]), array.dtype)
        memory[:old] = array
    memory[old:total] = fresh
    return memory[:total]


def size_in_memory(*arrays: npt.NDArray[Any]) -> int:
    """Return the bytes that arrays take, with the room behind them."""
    return sum((array if array.base is None else array.base).nbytes for array in arrays)
