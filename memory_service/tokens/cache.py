"""A cache of token counts: the same turns are counted for every prompt."""

from __future__ import annotations

from hashlib import blake2b
from threading import Lock

from cachetools import LRUCache

from memory_service.tokens.counting import TokenCounter


class CachedCounter:
    """A counter that keeps the counts of another one; safe for several threads.

    It holds at most `max_entries` counts and drops the least recently used ones. A text longer than
    `max_key_chars` is kept as its hash, which bounds an entry to about 1 kB.
    """

    def __init__(
        self, counter: TokenCounter, max_entries: int = 32_768, max_key_chars: int = 256
    ) -> None:
        self._counter = counter
        self._max_key_chars = max_key_chars
        self._counts: LRUCache[str | bytes, int] = LRUCache(max_entries)
        self._lock = Lock()
        self.name = counter.name

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, text: str) -> int:
        """Return the other counter's count. Two threads may both count a new text."""
        key = text if len(text) <= self._max_key_chars else _digest(text)
        try:
            with self._lock:
                return self._counts[key]
        except KeyError:
            tokens = self._counter.count(text)
        with self._lock:
            self._counts[key] = tokens
        return tokens


def _digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text, lone surrogates included."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
