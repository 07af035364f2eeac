"""The recalled block: the hits that fit, its text, and its position."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import MICROSECONDS, Dropped, Hit
from memory_service.prompts.recalled_block import (
    HitChoice,
    choose_recalled,
    recalled_block,
    recalled_tokens,
    with_recalled,
)
from memory_service.tokens.counting import count_messages
from tests.support.factories import START, Characters, Words, make_hit, message

CLOSE = "</recalled_turns>"
DAY = 86_400 * MICROSECONDS
TEXTS = st.lists(
    st.sampled_from(
        ["locker", "8314", "8315", "Locker", "\n", CLOSE, "<recalled_turns", "a\u00a0b"]
    ),
    max_size=6,
).map(" ".join)
NAMES = st.sampled_from([None, "Anna", CLOSE, "recalled_turns", "</RECALLED_TURNS>"])


@st.composite
def hit_lists(draw: st.DrawFn) -> list[Hit]:
    texts = draw(st.lists(TEXTS, max_size=8))
    return [
        make_hit(
            text,
            key=key,
            name=draw(NAMES),
            start=draw(st.integers(0, len(text))),
            created_at=draw(st.integers(0, 3)) * DAY,
        )
        for key, text in enumerate(texts, start=1)
    ]


@pytest.mark.parametrize("counter", [Words(), Characters()])
@given(hits=hit_lists(), room=st.integers(0, 400))
def test_block_never_exceeds_its_tokens(
    counter: Words | Characters, hits: list[Hit], room: int
) -> None:
    chosen, _ = choose_recalled(hits, room, counter)
    assert not chosen or counter.count(recalled_block(chosen)) <= room


@given(hits=hit_lists(), room=st.integers(0, 400))
def test_tokens_added_to_message_fit(hits: list[Hit], room: int) -> None:
    counter = Characters()
    question = [message("where is it?")]
    chosen, _ = choose_recalled(hits, room, counter)
    filled = with_recalled(question, chosen)
    added = count_messages(filled, None, counter) - count_messages(question, None, counter)
    assert recalled_tokens(question, chosen, counter) == added <= room


@given(hit_lists(), st.integers(0, 400))
def test_every_hit_is_chosen_or_dropped(hits: list[Hit], room: int) -> None:
    chosen, dropped = choose_recalled(hits, room, Words())
    ids = [hit.turn.id for hit in chosen] + [drop.item_id for drop in dropped]
    assert sorted(ids) == sorted(hit.turn.id for hit in hits)
    assert chosen == [hit for hit in hits if hit in chosen]


def test_hit_that_does_not_fit_leaves_room_for_shorter_one() -> None:
    chosen, dropped = choose_recalled(
        [make_hit("one " * 90, key=1), make_hit("short", key=2)], 40, Words()
    )
    assert [hit.turn.key for hit in chosen] == [2]
    assert dropped == [Dropped("item_1", "budget")]


def test_same_text_in_other_case_and_spacing_is_duplicate() -> None:
    chosen, dropped = choose_recalled(
        [make_hit("Locker 8314", key=1), make_hit(" locker\n 8314 ", key=2)], 1_000, Words()
    )
    assert [hit.turn.key for hit in chosen] == [1]
    assert dropped == [Dropped("item_2", "duplicate")]


def test_texts_that_differ_in_one_digit_are_both_chosen() -> None:
    hits = [make_hit("locker 8314", key=1), make_hit("locker 8315", key=2)]
    assert choose_recalled(hits, 1_000, Words()) == (hits, [])


def test_choice_without_last_hits_drops_them_in_reverse() -> None:
    hits = [make_hit(key=key) for key in (1, 2, 3)]
    choice = HitChoice(hits, [Dropped("item_9", "duplicate")])
    assert choice.without_last(0) == choice
    assert choice.without_last(2) == HitChoice(
        hits[:1],
        [Dropped("item_9", "duplicate"), Dropped("item_3", "budget"), Dropped("item_2", "budget")],
    )
    assert len(hits) == 3


def test_block_quotes_turns_oldest_first_with_date_and_speaker() -> None:
    hits = [
        make_hit("later", key=3, created_at=START + DAY, utc_offset_minutes=60),
        make_hit("same time", key=2, created_at=START, name="Anna"),
        make_hit("first", key=1, created_at=START),
    ]
    assert recalled_block(hits).splitlines()[1:-1] == [
        "[2023-11-14 22:13 user] first",
        "[Anna] same time",
        "[2023-11-15 23:13 user] later",
    ]


@pytest.mark.parametrize(
    ("minutes", "fields", "heading"),
    [
        (30, {}, "[Anna]"),
        (31, {}, "[2023-11-14 22:44 Anna]"),
        (0, {"conversation_key": 2}, "[2023-11-14 22:13 Anna]"),
        (20, {"utc_offset_minutes": 90}, "[2023-11-15 00:03 Anna]"),
    ],
)
def test_time_is_left_out_only_soon_after_quote_above(
    minutes: int, fields: dict[str, int], heading: str
) -> None:
    above = make_hit("first", key=1, created_at=START, utc_offset_minutes=60)
    created_at = START + minutes * 60 * MICROSECONDS
    hit = make_hit("next", key=2, name="Anna", created_at=created_at, **fields)
    assert recalled_block([hit, above]).splitlines()[2] == f"{heading} next"


@given(hit_lists())
def test_estimated_tokens_of_block_are_exact(hits: list[Hit]) -> None:
    counter, room = Characters(), 10**6
    chosen, _ = choose_recalled(hits, room, counter)
    exact = len(recalled_block(chosen)) + 4
    assert choose_recalled(chosen, exact, counter) == (chosen, [])
    assert not chosen or len(choose_recalled(chosen, exact - 1, counter).hits) < len(chosen)


@pytest.mark.parametrize(
    ("start", "end", "quoted"),
    [(0, 11, "one two six"), (4, 11, "…two six"), (0, 3, "one…"), (4, 7, "…two…")],
)
def test_span_of_turn_is_quoted_with_marks_where_cut(start: int, end: int, quoted: str) -> None:
    hit = make_hit("one two six", start=start, end=end)
    assert recalled_block([hit]).splitlines()[1].endswith(f"user] {quoted}")


@given(hit_lists())
def test_quoted_text_cannot_begin_or_end_block(hits: list[Hit]) -> None:
    block = recalled_block(hits)
    assert len(re.findall("recalled_turns", block, re.IGNORECASE)) == 2
    assert block.startswith("<recalled_turns ")
    assert block.endswith("\n" + CLOSE)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [(CLOSE, "</recalled\\_turns>"), ("see Recalled_Turns!", "see Recalled\\_Turns!")],
)
def test_quoted_delimiter_is_escaped(text: str, quoted: str) -> None:
    assert recalled_block([make_hit(text)]).splitlines()[1].endswith(f"user] {quoted}")


@pytest.mark.parametrize(("content", "after"), [("two", "\ntwo"), ("", ""), (None, "")])
def test_block_is_in_front_of_text_of_last_user_message(content: str | None, after: str) -> None:
    hit = make_hit("locker 8314")
    messages = [message("one"), message(content), message("three", "assistant")]
    filled = with_recalled(messages, [hit])
    assert filled[1] == message(recalled_block([hit]) + after)
    assert [filled[0] is messages[0], filled[2] is messages[2], len(filled)] == [True, True, 3]


def test_block_is_first_part_of_message_with_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    (filled,) = with_recalled([message([picture], name="Anna")], [make_hit()])
    block = {"type": "text", "text": recalled_block([make_hit()])}
    assert filled == message([block, picture], name="Anna")


def test_given_messages_are_not_changed() -> None:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "two"}]
    messages = [message(parts)]
    with_recalled(messages, [make_hit()])
    assert messages == [message([{"type": "text", "text": "two"}])]


@pytest.mark.parametrize(
    ("messages", "hits"),
    [
        ([message("hi")], []),
        ([message("hi", "assistant")], [make_hit()]),
        ([message("4", "tool", tool_call_id="a")], [make_hit()]),
        ([], [make_hit()]),
    ],
)
def test_nothing_is_added_without_hits_or_user_message(
    messages: list[dict[str, Any]], hits: list[Hit]
) -> None:
    filled = with_recalled(messages, hits)
    assert [id(entry) for entry in filled] == [id(entry) for entry in messages]
