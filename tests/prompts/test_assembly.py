import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import ContextLengthExceeded
from memory_service.core.models import MICROSECONDS, Hit
from memory_service.items.chat_messages import MessageGroup
from memory_service.prompts.assembly import (
    Budget,
    Window,
    block_tokens,
    choose_recalled,
    fixed_parts,
    recalled_block,
    recent_window,
    with_recalled,
)
from memory_service.tokens.counting import count_message, count_messages
from tests.support.factories import START, Characters, Words, make_block, make_hit, message

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
def hits(draw: st.DrawFn) -> list[Hit]:
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


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[MessageGroup], list[int]]:
    """Return blocks of one to three turns with gaps between them, and their tokens."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), max_size=30))
    found, seq = [], 1
    for turns, gap in sizes:
        found.append(make_block(*[message()] * turns, first_key=seq + gap))
        seq += turns + gap
    tokens = draw(st.lists(st.integers(0, 50), min_size=len(found), max_size=len(found)))
    return found, tokens


def begins(
    lengths: range, max_turns: int, max_tokens: int = 10**6, *, kept: bool = True
) -> list[int]:
    """Return where the window begins as a conversation of single turns grows."""
    path = [make_block(message(), first_key=key) for key in range(1, lengths.stop)]
    window, starts, seq = Window(max_turns, max_tokens), [], None
    for n in lengths:
        starts.append(recent_window(path[:n], [1] * n, window, seq))
        seq = path[starts[-1]].first_seq if kept and starts[-1] < n else None
    return starts


@given(windows(), st.integers(0, 40), st.integers(0, 300), st.integers(0, 100) | st.none())
def test_the_window_is_within_both_limits(
    path: tuple[list[MessageGroup], list[int]], max_turns: int, max_tokens: int, kept: int | None
) -> None:
    found, tokens = path
    start = recent_window(found, tokens, Window(max_turns, max_tokens), kept)
    assert 0 <= start <= len(found)
    assert sum(len(block.turns) for block in found[start:]) <= max_turns
    assert sum(tokens[start:]) <= max_tokens


@given(windows(), st.integers(0, 40), st.integers(0, 300), st.integers(0, 100) | st.none())
def test_the_window_is_empty_only_if_the_last_block_does_not_fit(
    path: tuple[list[MessageGroup], list[int]], max_turns: int, max_tokens: int, kept: int | None
) -> None:
    found, tokens = path
    start = recent_window(found, tokens, Window(max_turns, max_tokens), kept)
    fits = bool(found) and len(found[-1].turns) <= max_turns and tokens[-1] <= max_tokens
    assert (start < len(found)) is fits


@given(windows())
def test_the_window_is_everything_if_everything_fits(
    path: tuple[list[MessageGroup], list[int]],
) -> None:
    assert recent_window(*path, Window(90, 1_500), None) == 0


@given(windows(), st.integers(0, 40), st.integers(0, 300))
def test_a_window_that_was_just_made_is_kept(
    path: tuple[list[MessageGroup], list[int]], max_turns: int, max_tokens: int
) -> None:
    found, tokens = path
    window = Window(max_turns, max_tokens)
    start = recent_window(found, tokens, window, None)
    seq = found[start].first_seq if start < len(found) else None
    assert recent_window(found, tokens, window, seq) == start


def test_the_window_keeps_its_beginning_while_it_fits_and_is_then_cut_by_half() -> None:
    starts = begins(range(1, 121), max_turns=20)
    runs = [len(list(run)) for _, run in itertools.groupby(starts)]
    assert runs[0] == 20
    assert set(runs[1:-1]) == {11}


def test_the_window_holds_between_half_and_all_of_the_turns_allowed() -> None:
    lengths = range(21, 121)
    sizes = [n - start for n, start in zip(lengths, begins(lengths, max_turns=20), strict=True)]
    assert (min(sizes), max(sizes)) == (10, 20)


def test_the_window_only_moves_forward() -> None:
    starts = begins(range(121), max_turns=20)
    assert starts == sorted(starts)


def test_a_window_much_smaller_than_it_may_be_is_made_anew() -> None:
    path = [make_block(message(), first_key=key) for key in range(1, 101)]
    assert recent_window(path, [1] * 100, Window(40, 10**6), 96) == 80


def test_the_window_reaches_back_to_what_it_must_hold() -> None:
    path = [make_block(message(), first_key=key) for key in range(1, 11)]
    assert recent_window(path, [1] * 10, Window(2, 100, must_hold=4), None) == 4


@pytest.mark.parametrize(("max_turns", "max_tokens"), [(0, 100), (5, 0), (0, 0)])
def test_without_room_the_window_is_empty(max_turns: int, max_tokens: int) -> None:
    assert begins(range(3, 4), max_turns, max_tokens) == [3]


def test_of_no_blocks_the_window_is_empty() -> None:
    assert recent_window([], [], Window(5, 5), None) == 0


@pytest.mark.parametrize("counter", [Words(), Characters()])
@given(found=hits(), room=st.integers(0, 400))
def test_the_block_never_exceeds_its_tokens(
    counter: Words | Characters, found: list[Hit], room: int
) -> None:
    chosen, _ = choose_recalled(found, room, counter)
    assert not chosen or counter.count(recalled_block(chosen)) <= room


@given(found=hits(), room=st.integers(0, 400))
def test_what_the_block_adds_to_a_message_fits_too(found: list[Hit], room: int) -> None:
    counter = Characters()
    new = [message("where is it?")]
    chosen, _ = choose_recalled(found, room, counter)
    added = with_recalled(new, chosen)
    assert count_messages(added, None, counter) - count_messages(new, None, counter) <= room


@given(hits(), st.integers(0, 400))
def test_every_hit_is_chosen_or_told_why_not(found: list[Hit], room: int) -> None:
    chosen, dropped = choose_recalled(found, room, Words())
    ids = [hit.turn.id for hit in chosen] + [drop.item_id for drop in dropped]
    assert sorted(ids) == sorted(hit.turn.id for hit in found)
    assert chosen == [hit for hit in found if hit in chosen]


def test_a_hit_that_does_not_fit_leaves_room_for_a_shorter_one() -> None:
    found = [make_hit("one " * 90, key=1), make_hit("short", key=2)]
    chosen, dropped = choose_recalled(found, 40, Words())
    assert [hit.turn.key for hit in chosen] == [2]
    assert [(drop.item_id, drop.reason) for drop in dropped] == [("item_1", "budget")]


def test_the_same_text_in_other_case_and_spacing_is_a_duplicate() -> None:
    found = [make_hit("Locker 8314", key=1), make_hit(" locker\n 8314 ", key=2)]
    chosen, dropped = choose_recalled(found, 1_000, Words())
    assert [hit.turn.key for hit in chosen] == [1]
    assert [(drop.item_id, drop.reason) for drop in dropped] == [("item_2", "duplicate")]


def test_texts_that_differ_in_one_digit_are_different_facts() -> None:
    found = [make_hit("locker 8314", key=1), make_hit("locker 8315", key=2)]
    assert choose_recalled(found, 1_000, Words()) == (found, [])


def test_a_block_quotes_its_turns_oldest_first_with_date_and_speaker() -> None:
    found = [
        make_hit("later", key=3, created_at=START + DAY, utc_offset_minutes=60),
        make_hit("same time", key=2, created_at=START, name="Anna"),
        make_hit("first", key=1, created_at=START),
    ]
    assert recalled_block(found).splitlines()[1:-1] == [
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
def test_only_what_was_said_soon_after_the_quote_above_stands_without_a_time(
    minutes: int, fields: dict[str, int], heading: str
) -> None:
    above = make_hit("first", key=1, created_at=START, utc_offset_minutes=60)
    said_at = START + minutes * 60 * MICROSECONDS
    hit = make_hit("next", key=2, name="Anna", created_at=said_at, **fields)
    assert recalled_block([hit, above]).splitlines()[2] == f"{heading} next"


@given(hits())
def test_what_a_block_is_thought_to_take_is_what_it_takes(found: list[Hit]) -> None:
    counter, room = Characters(), 10**6
    chosen, _ = choose_recalled(found, room, counter)
    exact = len(recalled_block(chosen)) + 4
    assert choose_recalled(chosen, exact, counter) == (chosen, [])
    assert not chosen or len(choose_recalled(chosen, exact - 1, counter)[0]) < len(chosen)


@pytest.mark.parametrize(
    ("start", "end", "quoted"),
    [(0, 11, "one two six"), (4, 11, "…two six"), (0, 3, "one…"), (4, 7, "…two…")],
)
def test_a_stretch_of_a_turn_is_quoted_with_marks_where_it_was_cut(
    start: int, end: int, quoted: str
) -> None:
    hit = make_hit("one two six", start=start, end=end)
    assert recalled_block([hit]).splitlines()[1].endswith(f"user] {quoted}")


@given(hits())
def test_nothing_quoted_can_begin_or_end_the_block(found: list[Hit]) -> None:
    block = recalled_block(found)
    assert len(re.findall("recalled_turns", block, re.IGNORECASE)) == 2
    assert block.startswith("<recalled_turns ")
    assert block.endswith("\n" + CLOSE)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [(CLOSE, "</recalled\\_turns>"), ("see Recalled_Turns!", "see Recalled\\_Turns!")],
)
def test_a_quoted_delimiter_loses_nothing_but_its_meaning(text: str, quoted: str) -> None:
    assert recalled_block([make_hit(text)]).splitlines()[1].endswith(f"user] {quoted}")


def test_the_block_is_the_first_part_of_the_last_user_message_only() -> None:
    hit = make_hit("locker 8314")
    new = [message("one"), message("two"), message("three", "assistant")]
    result = with_recalled(new, [hit])
    block = {"type": "text", "text": recalled_block([hit])}
    assert result[1] == message([block, {"type": "text", "text": "two"}])
    assert [result[0] is new[0], result[2] is new[2], len(result)] == [True, True, 3]


def test_the_parts_of_the_message_follow_the_block() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    (result,) = with_recalled([message([picture], name="Anna")], [make_hit()])
    assert (result["content"][1:], result["name"]) == ([picture], "Anna")


def test_the_messages_that_came_in_are_not_changed() -> None:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "two"}]
    new = [message(parts)]
    with_recalled(new, [make_hit()])
    assert new == [message([{"type": "text", "text": "two"}])]


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ([message("hi")], []),
        ([message("hi", "assistant")], [make_hit()]),
        ([message("4", "tool", tool_call_id="a")], [make_hit()]),
        ([], [make_hit()]),
    ],
)
def test_without_hits_or_a_user_message_nothing_is_added(
    new: list[dict[str, Any]], found: list[Hit]
) -> None:
    result = with_recalled(new, found)
    assert [id(one) for one in result] == [id(one) for one in new]


def test_the_tokens_of_a_block_are_those_of_its_messages() -> None:
    block = make_block(message("one two"), message("three", "assistant"))
    assert block_tokens(block, Words()) == sum(
        count_message(one, Words()) for one in block.messages
    )


SYSTEM = [message("be brief", "system")]
INPUT = [message("where is it?")]
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]


def test_fixed_parts_that_fill_the_budget_to_the_last_token_are_counted() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    parts = fixed_parts(SYSTEM, INPUT, TOOLS, Budget(total=whole + 10, reserved=10), Words())
    assert parts.tokens == whole


def test_fixed_parts_one_token_over_the_budget_are_refused_with_the_counts() -> None:
    whole = count_messages([*SYSTEM, *INPUT], TOOLS, Words())
    budget = Budget(total=whole + 9, reserved=10)
    with pytest.raises(ContextLengthExceeded) as caught:
        fixed_parts(SYSTEM, INPUT, TOOLS, budget, Words())
    counts = [int(number) for number in re.findall(r"\d+", caught.value.message)]
    # Three of the prompt's tokens begin the reply and belong to no part.
    assert (counts[0], counts[4], sum(counts[1:4]) + 3) == (whole + 9, 10, whole)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
