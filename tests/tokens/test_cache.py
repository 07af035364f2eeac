"""The cache of token counts."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from memory_service.tokens.cache import CachedCounter
from tests.support.factories import Words


def test_cached_texts_are_counted_once() -> None:
    inner = Words()
    cached = CachedCounter(inner, max_key_chars=10)
    texts = ["a b", "long " * 99, "", "\ud800" * 40]
    assert [cached.count(text) for text in texts * 2] == [2, 99, 0, 1] * 2
    assert inner.counted_texts == texts
    assert len(cached) == 4


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40))
def test_cache_keeps_the_most_recently_used_entries(texts: list[str]) -> None:
    inner = Words()
    cached = CachedCounter(inner, max_entries=3)
    assert [cached.count(text) for text in texts] == [1] * len(texts)
    latest = list(dict.fromkeys(reversed(texts)))[:3]
    inner.counted_texts.clear()
    assert sum(map(cached.count, latest)) == len(latest) == len(cached)
    assert not inner.counted_texts


def test_cache_used_by_several_threads() -> None:
    cached = CachedCounter(Words(), max_entries=50)
    texts = [" ".join(["w"] * size) for size in range(1, 200)]
    random.Random(1).shuffle(texts)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(cached.count, texts * 20))
    assert counts == [len(text.split()) for text in texts * 20]
    assert len(cached) == 50
