"""Token arrays: the cache changes no result, and its size is bounded."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Matrix
from memory_service.recall.caches.token_arrays import TextArrays, TokenArrayCache
from memory_service.recall.matching import QueryWord
from memory_service.text.terms import terms

CHUNKS = ["We", "met", "Bob.", "Ann's", "roses", "snake_case", "yesterday?", "3", "花园", "l'amour"]
TEXTS = st.lists(st.lists(st.sampled_from(CHUNKS), max_size=6).map(" ".join), max_size=5)
LANGUAGE = st.sampled_from([None, "en", "fr"])
ASKED = [QueryWord(term, frozenset([term]), 1.0) for term in ("rose", "met", "花园")]


def vectors(words: Sequence[str]) -> Matrix:
    return np.array([[len(word) % 3, len(word) % 2] for word in words], np.float32).reshape(-1, 2)


def values(arrays: TextArrays) -> object:
    match, phrases = arrays.words.match(ASKED, vectors), arrays.words.phrases(ASKED)
    of_texts = arrays.answer_types, arrays.log_lengths, arrays.asks
    return *of_texts, match.tolist(), phrases.tolist()


def read(cache: TokenArrayCache, texts: list[str], language: str | None) -> object:
    terms_asked = {term for word in ASKED for term in word.terms}
    return values(cache.read([(text, language) for text in texts], terms_asked, ["ann"]))


@given(TEXTS, TEXTS, LANGUAGE, LANGUAGE)
def test_texts_read_before_change_no_result(
    before: list[str], texts: list[str], first: str | None, then: str | None
) -> None:
    """Also where the cache is full after each call, and is emptied."""
    used, full = TokenArrayCache(vectors), TokenArrayCache(vectors, max_bytes=0)
    for cache in (used, full):
        read(cache, before, first)
        assert read(cache, texts, then) == read(TokenArrayCache(vectors), texts, then)


@given(TEXTS, LANGUAGE)
def test_length_of_text_is_its_number_of_index_terms(
    texts: list[str], language: str | None
) -> None:
    arrays = TokenArrayCache(vectors).read([(text, language) for text in texts])
    lengths = np.expm1(arrays.log_lengths).round()
    assert lengths.tolist() == [len(terms(text, language)) for text in texts]


def test_size_is_bounded_by_limit_and_one_read() -> None:
    cache = TokenArrayCache(vectors, max_bytes=10_000)
    sizes = []
    for number in range(100):
        cache.read([(f"word{number} other{number}", None)])
        sizes.append(cache.size)
    assert 10_000 < max(sizes) < 13_000
