"""The summary block of a prompt: its size, its position, and its delimiters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import MICROSECONDS, Summary
from memory_service.prompts.summary_block import (
    SummaryBlock,
    choose_summaries,
    summary_block_text,
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
def summary_lists(draw: st.DrawFn) -> list[Summary]:
    texts = st.lists(
        st.sampled_from(["tea", "\n", CLOSE, OPEN, "Conversation_SUMMARY"]), max_size=9
    )
    return [
        make_summary(" ".join(draw(texts)), key=key, level=draw(st.integers(1, 3)))
        for key in range(1, draw(st.integers(0, 6)) + 1)
    ]


@given(summary_lists(), st.integers(0, 900), FIRST)
def test_block_never_exceeds_its_tokens(
    summaries: list[Summary], room: int, messages: list[dict[str, Any]]
) -> None:
    block = SummaryBlock.of(summaries, room, Characters())
    added = summary_tokens(messages, block.shown, Characters())
    before = count_messages(messages, None, Characters())
    filled = with_summaries(messages, block.shown)
    assert count_messages(filled, None, Characters()) - before == added
    assert added <= block.max_tokens <= room


@given(summary_lists(), st.integers(0, 900))
def test_chosen_summaries_are_chosen_again(summaries: list[Summary], room: int) -> None:
    chosen = choose_summaries(summaries, room, Words())
    assert choose_summaries(chosen, room, Words()) == chosen
    assert chosen == [summary for summary in summaries if summary in chosen]


@given(summary_lists(), FIRST)
def test_strict_template_accepts_block_after_system_message(
    summaries: list[Summary], messages: list[dict[str, Any]]
) -> None:
    system = [message("be brief", "system")]
    assert template_problem([*system, *with_summaries(messages, summaries)]) is None


@given(summary_lists())
def test_quoted_text_cannot_begin_or_end_block(summaries: list[Summary]) -> None:
    block = summary_block_text(summaries)
    assert len(re.findall("conversation_summary", block, re.IGNORECASE)) == 2
    assert (block.startswith(OPEN), block.endswith("\n" + CLOSE)) == (True, True)


def test_highest_levels_are_chosen_first_then_newest() -> None:
    levels = {1: 2, 2: 1, 3: 1}
    summaries = [make_summary("x " * 30, key=key, level=level) for key, level in levels.items()]
    blocks = [message(summary_block_text(part)) for part in (summaries[:1], summaries[::2])]
    rooms = [count_messages([block], None, Words()) for block in blocks]
    choices = [choose_summaries(summaries, room, Words()) for room in rooms]
    assert [[summary.key for summary in chosen] for chosen in choices] == [[1], [1, 3]]


def test_block_has_days_of_its_summaries() -> None:
    summaries = [
        make_summary("one", key=1, ended_at=START + 2 * DAY),
        make_summary("two", key=2, began_at=START + 3 * DAY, ended_at=START + 3 * DAY),
    ]
    assert summary_block_text(summaries).splitlines()[1:-1] == [
        *("[2023-11-14 to 2023-11-16]", "one"),
        *("[2023-11-17]", "two"),
    ]


def test_block_is_in_front_of_text_of_first_user_message() -> None:
    messages = [message("hello", name="Anna"), message("hi", "assistant")]
    filled = with_summaries(messages, [make_summary()])
    block = summary_block_text([make_summary()])
    assert filled[0] == {**messages[0], "content": f"{block}\nhello"}
    assert filled[1] is messages[1]


def test_block_is_own_message_before_assistant_message() -> None:
    messages = [message("hi", "assistant")]
    assert with_summaries(messages, [make_summary()]) == [
        message(summary_block_text([make_summary()])),
        *messages,
    ]


@pytest.mark.parametrize("messages", [[], [message("hello")]])
def test_nothing_is_added_without_summaries(messages: list[dict[str, Any]]) -> None:
    assert with_summaries(messages, []) == messages
    assert summary_tokens(messages, [], Words()) == 0
