"""What a model is asked for, and what is kept of its answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import ModelAnswer
from memory_service.summaries.hierarchy import CHUNK_TOKENS
from memory_service.summaries.model_prompts import kept_text, messages, summary_lines, turn_lines
from tests.support.factories import Characters, Words, make_summary, make_turn, message

TEXTS = st.lists(
    st.sampled_from(["tea", "</quoted>", "< QUOTED>", "\n", "a" * 40]), max_size=30
).map(" ".join)


@given(st.lists(TEXTS, max_size=5), st.integers(1, 3))
def test_nothing_quoted_can_begin_or_end_the_quotation(lines: list[str], level: int) -> None:
    asked = messages(lines, level=level, max_tokens=300)[-1]["content"]
    assert len(re.findall(r"<\s*/?\s*quoted", asked, re.IGNORECASE)) == 2


@pytest.mark.parametrize(("level", "what"), [(1, "quotes turns"), (2, "quotes summaries")])
def test_a_model_is_told_what_it_reads_and_how_long_to_be(level: int, what: str) -> None:
    rules = messages(["x"], level=level, max_tokens=300)[0]["content"]
    assert what in rules
    assert "at most 180 words" in rules


@given(st.lists(st.integers(0, 1_900), min_size=1, max_size=12))
def test_turns_that_are_too_long_for_a_chunk_lose_their_middles(lengths: list[int]) -> None:
    turns = [
        make_turn(message(f"begin{key} " + "word " * length + f"end{key}"), key=key)
        for key, length in enumerate(lengths, start=1)
    ]
    lines = turn_lines(turns, Words())
    assert sum(Words().count(line) for line in lines) <= CHUNK_TOKENS
    for key, line in enumerate(lines, start=1):
        assert f"begin{key} " in line
        assert line.endswith(f"end{key}")


def test_a_turn_without_text_is_still_a_turn() -> None:
    assert turn_lines([make_turn(message(""))], Words())[0].endswith("user] (no text)")


def test_summaries_are_quoted_with_their_days() -> None:
    assert summary_lines([make_summary("Tea.\nMilk.")]) == ["[2023-11-14]\nTea.\nMilk."]


@given(text=TEXTS.filter(str.strip), limit=st.integers(2, 60), whole=st.booleans())
def test_what_is_kept_is_a_text_within_its_limit(*, text: str, limit: int, whole: bool) -> None:
    for counter in (Words(), Characters()):
        kept = kept_text(ModelAnswer(text, is_whole=whole), limit, counter)
        assert kept.strip()
        assert counter.count(kept) <= limit


def test_a_single_line_that_is_too_long_ends_between_two_words() -> None:
    assert kept_text(ModelAnswer("Anna likes green tea"), 13, Characters()) == "Anna likes…"
