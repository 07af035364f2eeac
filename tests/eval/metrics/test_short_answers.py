"""Exact match, F1, and whether an answer stands in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.short_answers import exact_match, stands_in, token_f1


@pytest.mark.parametrize(
    ("given_answer", "answer", "exact", "f1"),
    [
        ("The Lion King!", "lion king", 1.0, 1.0),
        ("in May", "May 2023", 0.0, 0.5),
        ("7", "seven", 0.0, 0.0),
        ("", "seven", 0.0, 0.0),
        ("二十张", "二十", 0.0, 0.8),
        ("Ｃａｆé", "CAFÉ", 1.0, 1.0),
    ],
)
def test_exact_match_and_f1(given_answer: str, answer: str, exact: float, f1: float) -> None:
    assert exact_match(given_answer, answer) == exact
    assert token_f1(given_answer, answer) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_symmetric(given_answer: str, answer: str) -> None:
    assert token_f1(given_answer, answer) == token_f1(answer, given_answer)
    assert exact_match(given_answer, answer) <= token_f1(given_answer, answer) <= 1.0


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("25", "She is 25.", True),
        ("25", "She lives at 1254.", False),
        ("Red Kayak", "a red\nkayak, new", True),
        ("八千", "一共八千块", True),
        ("don't", "I don\u2019t", True),
    ],
)
def test_stands_in_matches_words(answer: str, text: str, *, expected: bool) -> None:
    assert stands_in(answer, text) is expected
