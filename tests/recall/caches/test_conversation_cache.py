"""ConversationCache: its size is bounded, and growing arrays do not change earlier views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.recall.caches.branch_cache import ActiveBranch
from memory_service.recall.caches.conversation_cache import (
    ConversationCache,
    extended,
    size_in_memory,
)


@dataclass(frozen=True)
class Entry:
    """A cache entry of a given size."""

    size: int


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 12)), max_size=40))
def test_total_size_stays_within_limit(puts: list[tuple[int, int]]) -> None:
    cache, newest = ConversationCache[Entry](20), dict[int, Entry]()
    for key, size in puts:
        newest[key] = cache.put(key, Entry(size))
        cached = {key: entry for key in newest if (entry := cache.get(key)) is not None}
        assert sum(entry.size for entry in cached.values()) <= 20
        assert cached.items() <= newest.items()
        assert key in cached


def test_least_recently_used_entry_is_evicted_first() -> None:
    cache = ConversationCache[Entry](2)
    for key in (1, 2):
        cache.put(key, Entry(1))
    cache.get(1)
    cache.put(3, Entry(1))
    assert [key for key in (1, 2, 3) if cache.get(key)] == [1, 3]


def test_entry_larger_than_cache_is_not_kept() -> None:
    cache = ConversationCache[Entry](2)
    cache.put(1, Entry(1))
    cache.put(2, Entry(1))
    assert cache.put(1, Entry(3)) == Entry(3)
    assert [key for key in (1, 2) if cache.get(key)] == [2]


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12))
def test_extended_array_keeps_earlier_views(parts: list[list[int]]) -> None:
    grown, views = np.empty(0, np.int64), []
    for part in parts:
        grown = extended(grown, np.array(part, np.int64))
        views.append(grown)
    flat = [number for part in parts for number in part]
    assert grown.tolist() == flat
    assert all(before.tolist() == flat[: len(before)] for before in views)


def test_extending_by_single_rows_rarely_copies() -> None:
    grown = extended(np.empty((0, 4), np.float32), np.zeros((1_000, 4), np.float32))
    memories = set()
    for _ in range(1_000):
        grown = extended(grown, np.ones((1, 4), np.float32))
        memories.add(grown.__array_interface__["data"][0])
    assert len(memories) <= 5
    assert size_in_memory(grown) <= 1.3 * grown.nbytes


@pytest.mark.parametrize(
    ("turn_keys", "expected"),
    [([30], [1, 2, 3]), ([10, 50], [0, 1, 3, 4]), ([99], []), ([11], []), ([], [])],
)
def test_branch_around_returns_positions_of_turns_and_neighbours(
    turn_keys: list[int], expected: list[int]
) -> None:
    keys = np.array([10, 20, 30, 40, 50])
    by_user, segments = np.ones(5, np.bool_), np.zeros(5, np.int32)
    branch = ActiveBranch(keys, keys, by_user, segments, next_seq=6, path_changes=0)
    assert branch.around(turn_keys, 1).tolist() == expected
