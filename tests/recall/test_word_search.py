"""Word search: BM25 and inverse document frequencies."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import ScopeStatistics
from memory_service.recall.word_search import bm25, inverse_document_frequency
from tests.support.factories import make_posting


def test_bm25_equals_manual_calculation() -> None:
    postings = [
        make_posting("cat", 1, tf=2, length=4),
        make_posting("dog", 1, tf=1, length=4),
        make_posting("cat", 2, tf=1, length=8),
    ]
    scores = bm25(postings, {"cat": 0.5, "dog": 2.0}, ScopeStatistics(passages=9, mean_length=5.0))
    # Norms: 1.2 * (0.6 + 0.4 * 4/5) = 1.104 and 1.2 * (0.6 + 0.4 * 8/5) = 1.488.
    first = 0.5 * 2 * 2.2 / (2 + 1.104) + 2.0 * 1 * 2.2 / (1 + 1.104)
    assert scores == pytest.approx({1: first, 2: 0.5 * 2.2 / (1 + 1.488)})


@given(st.integers(1, 50), st.integers(1, 500), st.just(0.0) | st.floats(1, 500))
def test_bm25_of_one_term_is_positive_and_bounded(tf: int, length: int, mean: float) -> None:
    posting = make_posting("cat", tf=tf, length=length)
    score = bm25([posting], {"cat": 1.0}, ScopeStatistics(passages=1, mean_length=mean))[1]
    assert 0 < score < 2.2


def test_bm25_of_no_postings_is_empty() -> None:
    assert bm25([], {"cat": 1.0}, ScopeStatistics(passages=0, mean_length=0.0)) == {}


@pytest.mark.parametrize(("frequency", "passages"), [(1, 1), (10, 10), (12, 10), (0, 0), (3, 0)])
def test_weight_of_frequent_term_is_small_and_not_negative(frequency: int, passages: int) -> None:
    assert 0 <= inverse_document_frequency(frequency, passages) <= math.log(2)


@given(st.integers(1, 1_000), st.data())
def test_rarer_term_weighs_more(passages: int, data: st.DataObject) -> None:
    frequency = data.draw(st.integers(0, passages - 1))
    rarer = inverse_document_frequency(frequency, passages)
    assert rarer > inverse_document_frequency(frequency + 1, passages)
