"""What is kept in memory of conversations: bounded, and never in the way of who reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.recall.conversation_cache import ConversationCache, extended, size_in_memory
from memory_service.recall.path_cache import LivePath


@dataclass(frozen=True)
class Entry:
    """Something that takes memory."""

    size: int


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 12)), max_size=40))
def test_entries_together_never_exceed_the_limit(kept: list[tuple[int, int]]) -> None:
    cache, newest = ConversationCache[Entry](20), dict[int, Entry]()
    for key, size in kept:
        newest[key] = cache.keep(key, Entry(size))
        held = {key: found for key in newest if (found := cache.find(key)) is not None}
        assert sum(entry.size for entry in held.values()) <= 20
        assert held.items() <= newest.items()
        assert key in held


def test_the_entry_that_was_used_longest_ago_goes_first() -> None:
    cache = ConversationCache[Entry](2)
    for key in (1, 2):
        cache.keep(key, Entry(1))
    cache.find(1)
    cache.keep(3, Entry(1))
    assert [key for key in (1, 2, 3) if cache.find(key)] == [1, 3]


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=12))
def test_an_array_grows_at_its_end_and_what_was_read_of_it_stays(parts: list[list[int]]) -> None:
    grown, seen = np.empty(0, np.int64), []
    for part in parts:
        grown = extended(grown, np.array(part, np.int64))
        seen.append(grown)
    flat = [number for part in parts for number in part]
    assert grown.tolist() == flat
    assert all(before.tolist() == flat[: len(before)] for before in seen)


def test_growing_by_single_rows_seldom_copies_what_is_there() -> None:
    grown = extended(np.empty((0, 4), np.float32), np.zeros((1_000, 4), np.float32))
    memories = set()
    for _ in range(1_000):
        grown = extended(grown, np.ones((1, 4), np.float32))
        memories.add(grown.__array_interface__["data"][0])
    assert len(memories) <= 5
    assert size_in_memory(grown) <= 1.3 * grown.nbytes


@pytest.mark.parametrize(
    ("asked", "found"),
    [([30], [1, 2, 3]), ([10, 50], [0, 1, 3, 4]), ([99], []), ([11], []), ([], [])],
)
def test_the_neighbours_of_turns_are_found_on_the_path(asked: list[int], found: list[int]) -> None:
    keys = np.array([10, 20, 30, 40, 50])
    path = LivePath(keys, keys, np.ones(5, np.bool_), np.zeros(5, np.int32), next_seq=6, changes=0)
    assert path.around(asked, 1).tolist() == found
