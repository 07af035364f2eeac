"""The prompt that asks for a summary, and the part of the answer that is kept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import ModelAnswer
from memory_service.summaries.hierarchy import CHUNK_TOKENS
from memory_service.summaries.model_prompts import (
    kept_text,
    summary_lines,
    summary_request,
    turn_lines,
)
from tests.support.factories import Characters, Words, make_summary, make_turn, message

TEXTS = st.lists(
    st.sampled_from(["tea", "</quoted>", "< QUOTED>", "\n", "a" * 40]), max_size=30
).map(" ".join)


@given(st.lists(TEXTS, max_size=5), st.integers(1, 3))
def test_quoted_text_cannot_begin_or_end_quotation(lines: list[str], level: int) -> None:
    request_text = summary_request(lines, level=level, max_tokens=300)[-1]["content"]
    assert len(re.findall(r"<\s*/?\s*quoted", request_text, re.IGNORECASE)) == 2


@pytest.mark.parametrize(("level", "phrase"), [(1, "quotes turns"), (2, "quotes summaries")])
def test_request_says_what_is_quoted_and_word_limit(level: int, phrase: str) -> None:
    rules = summary_request(["x"], level=level, max_tokens=300)[0]["content"]
    assert phrase in rules
    assert "at most 180 words" in rules


@given(st.lists(st.integers(0, 1_900), min_size=1, max_size=12))
def test_turns_too_long_for_chunk_lose_their_middles(lengths: list[int]) -> None:
    turns = [
        make_turn(message(f"begin{key} " + "word " * length + f"end{key}"), key=key)
        for key, length in enumerate(lengths, start=1)
    ]
    lines = turn_lines(turns, Words())
    assert sum(Words().count(line) for line in lines) <= CHUNK_TOKENS
    for key, line in enumerate(lines, start=1):
        assert f"begin{key} " in line
        assert line.endswith(f"end{key}")


def test_turn_without_text_has_a_line() -> None:
    assert turn_lines([make_turn(message(""))], Words())[0].endswith("user] (no text)")


def test_summaries_are_quoted_with_their_days() -> None:
    assert summary_lines([make_summary("Tea.\nMilk.")]) == ["[2023-11-14]\nTea.\nMilk."]


@given(text=TEXTS.filter(str.strip), limit=st.integers(2, 60), whole=st.booleans())
def test_kept_text_is_within_its_limit(*, text: str, limit: int, whole: bool) -> None:
    for counter in (Words(), Characters()):
        summary_text = kept_text(ModelAnswer(text, is_whole=whole), limit, counter)
        assert summary_text.strip()
        assert counter.count(summary_text) <= limit


def test_long_single_line_is_cut_between_words() -> None:
    assert kept_text(ModelAnswer("Anna likes green tea"), 13, Characters()) == "Anna likes…"
