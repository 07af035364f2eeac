"""The summary part of a prompt: what fits, where it stands, and that it reads as data only."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import MICROSECONDS, Summary
from memory_service.prompts.summary_block import (
    SummaryPart,
    choose_summaries,
    summary_block,
    summary_tokens,
    with_summaries,
)
from memory_service.tokens.counting import count_messages
from tests.support.factories import START, Characters, Words, chat_calls, make_summary, message
from tests.support.upstream import template_problem

OPEN, CLOSE = "<conversation_summary", "</conversation_summary>"
DAY = 86_400 * MICROSECONDS
PARTS = [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]
FIRST = st.sampled_from(
    [
        [],
        [message("hello")],
        [message(PARTS)],
        [message("hi", "assistant")],
        [chat_calls("a"), message("4", "tool", tool_call_id="a")],
    ]
)


@st.composite
def summaries(draw: st.DrawFn) -> list[Summary]:
    texts = st.lists(
        st.sampled_from(["tea", "\n", CLOSE, OPEN, "Conversation_SUMMARY"]), max_size=9
    )
    return [
        make_summary(" ".join(draw(texts)), key=key, level=draw(st.integers(1, 3)))
        for key in range(1, draw(st.integers(0, 6)) + 1)
    ]


@given(summaries(), st.integers(0, 900), FIRST)
def test_the_part_never_exceeds_its_tokens(
    found: list[Summary], room: int, said: list[dict[str, Any]]
) -> None:
    part = SummaryPart.of(found, room, Characters())
    added = summary_tokens(said, part.shown, Characters())
    before = count_messages(said, None, Characters())
    filled = with_summaries(said, part.shown)
    assert count_messages(filled, None, Characters()) - before == added
    assert added <= part.most_tokens <= room


@given(summaries(), st.integers(0, 900))
def test_what_was_chosen_is_chosen_again(found: list[Summary], room: int) -> None:
    chosen = choose_summaries(found, room, Words())
    assert choose_summaries(chosen, room, Words()) == chosen
    assert chosen == [one for one in found if one in chosen]


@given(summaries(), FIRST)
def test_a_strict_template_takes_the_part_behind_a_system_message(
    found: list[Summary], said: list[dict[str, Any]]
) -> None:
    system = [message("be brief", "system")]
    assert template_problem([*system, *with_summaries(said, found)]) is None


@given(summaries())
def test_nothing_quoted_can_begin_or_end_the_block(found: list[Summary]) -> None:
    block = summary_block(found)
    assert len(re.findall("conversation_summary", block, re.IGNORECASE)) == 2
    assert (block.startswith(OPEN), block.endswith("\n" + CLOSE)) == (True, True)


def test_the_widest_summaries_come_first_and_then_the_newest() -> None:
    levels = {1: 2, 2: 1, 3: 1}
    found = [make_summary("x " * 30, key=key, level=level) for key, level in levels.items()]
    blocks = [message(summary_block(some)) for some in (found[:1], found[::2])]
    rooms = [count_messages([block], None, Words()) for block in blocks]
    chosen = [choose_summaries(found, room, Words()) for room in rooms]
    assert [[one.key for one in some] for some in chosen] == [[1], [1, 3]]


def test_a_block_says_of_which_days_its_summaries_are() -> None:
    found = [
        make_summary("one", key=1, ended_at=START + 2 * DAY),
        make_summary("two", key=2, began_at=START + 3 * DAY, ended_at=START + 3 * DAY),
    ]
    assert summary_block(found).splitlines()[1:-1] == [
        *("[2023-11-14 to 2023-11-16]", "one"),
        *("[2023-11-17]", "two"),
    ]


def test_the_block_is_the_first_part_of_a_first_message_of_the_user() -> None:
    said = [message("hello", name="Anna"), message("hi", "assistant")]
    result = with_summaries(said, [make_summary()])
    block = {"type": "text", "text": summary_block([make_summary()])}
    assert result[0] == {**said[0], "content": [block, {"type": "text", "text": "hello"}]}
    assert result[1] is said[1]


def test_the_block_is_a_message_of_its_own_before_one_of_the_assistant() -> None:
    said = [message("hi", "assistant")]
    assert with_summaries(said, [make_summary()]) == [
        message(summary_block([make_summary()])),
        *said,
    ]


@pytest.mark.parametrize("said", [[], [message("hello")]])
def test_without_summaries_nothing_is_added(said: list[dict[str, Any]]) -> None:
    assert with_summaries(said, []) == said
    assert summary_tokens(said, [], Words()) == 0
