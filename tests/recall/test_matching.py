"""Soft word match: exact and similar words, phrases, and the words of neighbours."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Matrix
from memory_service.recall.caches.token_arrays import TokenArrayCache
from memory_service.recall.matching import (
    QueryWord,
    WordArrays,
    WordVectors,
    score,
    with_neighbours,
)

VECTORS = {"food": (1.0, 0.0), "pistachio": (0.8, 0.6), "car": (0.0, 1.0)}
WORDS = st.sampled_from(["food", "pistachio", "car", "tree"])
TEXTS = st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=6)


def query_words(*words: str, weight: float = 1.0) -> list[QueryWord]:
    return [QueryWord(word, frozenset([word]), weight) for word in words]


def vectors(words: Sequence[str]) -> Matrix:
    return np.array([VECTORS.get(word, (0.0, 0.0)) for word in words], dtype=np.float32)


def arrays(*texts: Sequence[str], by: WordVectors = vectors) -> WordArrays:
    joined_texts = [(" ".join(words), None) for words in texts]
    return TokenArrayCache(by).read(joined_texts, {word for words in texts for word in words}).words


def test_equal_word_counts_one_and_similar_word_less() -> None:
    (row,) = arrays(["food"], ["pistachio"], ["car"], []).match(query_words("food"), vectors)
    assert row.tolist() == pytest.approx([1.0, (0.8 - 0.25) / 0.75, 0.0, 0.0])


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3, unique=True))
def test_only_equal_words_match_without_vectors(texts: list[list[str]], wanted: list[str]) -> None:
    matches = arrays(*texts, by=lambda _: None).match(query_words(*wanted), lambda _: None)
    assert matches.tolist() == [[float(word in words) for words in texts] for word in wanted]


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3, unique=True))
def test_match_of_text_does_not_depend_on_other_texts(
    texts: list[list[str]], wanted: list[str]
) -> None:
    together = arrays(*texts).match(query_words(*wanted), vectors)
    alone = [arrays(words).match(query_words(*wanted), vectors)[:, 0] for words in texts]
    assert together == pytest.approx(np.stack(alone, axis=1))


def test_words_next_to_each_other_are_a_phrase_in_either_order() -> None:
    words = arrays(["support", "group"], ["group", "x", "support"], ["support", *"xyzw", "group"])
    assert words.phrases(query_words("support", "group", weight=2.0)).tolist() == [2.0, 2.0, 0.0]


def test_phrase_does_not_cross_texts() -> None:
    assert arrays(["support"], ["group"]).phrases(query_words("support", "group")).tolist() == [
        0.0,
        0.0,
    ]


def test_neighbours_count_less_and_only_in_same_segment() -> None:
    similarities = np.array([[0.0, 1.0, 0.0, 0.0]], dtype=np.float32)
    follows = np.array([False, True, True, False])
    near = with_neighbours(similarities, follows)
    assert near[0].tolist() == pytest.approx([0.5, 1.0, 0.6, 0.0])


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9), st.data())
def test_neighbours_never_lower_similarities(values: list[float], data: st.DataObject) -> None:
    similarities = np.array([values], dtype=np.float32)
    size = len(values)
    follows = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    near = with_neighbours(similarities, follows)
    assert (near >= similarities).all()
    assert near.max() == similarities.max()


def test_score_weights_rare_words_higher() -> None:
    query = [*query_words("food", weight=3.0), *query_words("car", weight=1.0)]
    assert score(query, arrays(["food"], ["car"]).match(query, vectors)).tolist() == [3.0, 1.0]
