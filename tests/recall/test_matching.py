from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Matrix
from memory_service.recall.matching import QueryWord, Texts, WordVectors, score, with_neighbours
from memory_service.recall.token_arrays import Lexicon

VECTORS = {"food": (1.0, 0.0), "pistachio": (0.8, 0.6), "car": (0.0, 1.0)}
WORDS = st.sampled_from(["food", "pistachio", "car", "tree"])
TEXTS = st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=6)


def asked(*words: str, weight: float = 1.0) -> list[QueryWord]:
    return [QueryWord(word, frozenset([word]), weight) for word in words]


def vectors(words: Sequence[str]) -> Matrix:
    return np.array([VECTORS.get(word, (0.0, 0.0)) for word in words], dtype=np.float32)


def texts(*some: Sequence[str], by: WordVectors = vectors) -> Texts:
    told = [(" ".join(one), None) for one in some]
    return Lexicon(by).read(told, {word for one in some for word in one}).words


def test_an_equal_word_counts_one_and_a_similar_one_less() -> None:
    (row,) = texts(["food"], ["pistachio"], ["car"], []).match(asked("food"), vectors)
    assert row.tolist() == pytest.approx([1.0, (0.8 - 0.25) / 0.75, 0.0, 0.0])


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3, unique=True))
def test_without_vectors_only_equal_words_match(some: list[list[str]], wanted: list[str]) -> None:
    found = texts(*some, by=lambda _: None).match(asked(*wanted), lambda _: None)
    assert found.tolist() == [[float(word in one) for one in some] for word in wanted]


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3, unique=True))
def test_a_text_is_matched_the_same_among_others_and_alone(
    some: list[list[str]], wanted: list[str]
) -> None:
    together = texts(*some).match(asked(*wanted), vectors)
    alone = [texts(one).match(asked(*wanted), vectors)[:, 0] for one in some]
    assert together == pytest.approx(np.stack(alone, axis=1))


def test_words_that_follow_each_other_are_a_phrase_in_either_order() -> None:
    some = texts(["support", "group"], ["group", "x", "support"], ["support", *"xyzw", "group"])
    assert some.phrases(asked("support", "group", weight=2.0)).tolist() == [2.0, 2.0, 0.0]


def test_a_phrase_does_not_reach_into_the_next_text() -> None:
    assert texts(["support"], ["group"]).phrases(asked("support", "group")).tolist() == [0.0, 0.0]


def test_what_neighbours_say_counts_less_and_only_in_the_same_stretch() -> None:
    similarities = np.array([[0.0, 1.0, 0.0, 0.0]], dtype=np.float32)
    follows = np.array([False, True, True, False])
    near = with_neighbours(similarities, follows)
    assert near[0].tolist() == pytest.approx([0.5, 1.0, 0.6, 0.0])


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9), st.data())
def test_neighbours_never_take_anything_away(values: list[float], data: st.DataObject) -> None:
    similarities = np.array([values], dtype=np.float32)
    size = len(values)
    follows = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    near = with_neighbours(similarities, follows)
    assert (near >= similarities).all()
    assert near.max() == similarities.max()


def test_rare_words_count_more() -> None:
    query = [*asked("food", weight=3.0), *asked("car", weight=1.0)]
    assert score(query, texts(["food"], ["car"]).match(query, vectors)).tolist() == [3.0, 1.0]
