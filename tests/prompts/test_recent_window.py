"""The recent window: its limits, its cuts, and the groups that it must hold."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import ContextLengthExceeded
from memory_service.prompts.recent_window import (
    CountedGroups,
    WindowLimits,
    group_tokens,
    recent_window,
    summary_room,
    window_limits,
    window_start,
)
from memory_service.prompts.request import PromptRequest, WindowSize
from memory_service.tokens.counting import count_message
from tests.support.factories import Words, chat_calls, chat_output, make_message_group, message


@st.composite
def branches(draw: st.DrawFn) -> CountedGroups:
    """Return groups of one to three turns with gaps between them, and their tokens."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), max_size=30))
    groups, seq = [], 1
    for turns, gap in sizes:
        groups.append(make_message_group(*[message()] * turns, first_key=seq + gap))
        seq += turns + gap
    tokens = draw(st.lists(st.integers(0, 50), min_size=len(groups), max_size=len(groups)))
    return CountedGroups(groups, tokens)


def branch_of(count: int) -> CountedGroups:
    """Return groups of one turn and one token each."""
    groups = [make_message_group(message(), first_key=key) for key in range(1, count + 1)]
    return CountedGroups(groups, [1] * count)


def starts_of(lengths: range, max_turns: int, max_tokens: int = 10**6) -> list[int]:
    """Return where the window begins as a conversation of single turns grows."""
    limits, starts, kept_seq = WindowLimits(max_turns, max_tokens), [], None
    for length in lengths:
        window = recent_window(branch_of(length), limits, kept_seq)
        starts.append(window.start)
        kept_seq = window.first_seq
    return starts


KEPT = st.integers(0, 100) | st.none()


@given(branches(), st.integers(0, 40), st.integers(0, 300), KEPT)
def test_window_is_within_both_limits(
    branch: CountedGroups, max_turns: int, max_tokens: int, kept_seq: int | None
) -> None:
    window = recent_window(branch, WindowLimits(max_turns, max_tokens), kept_seq)
    assert 0 <= window.start <= len(branch)
    assert len(window.turns) <= max_turns
    assert window.tokens <= max_tokens


@given(branches(), st.integers(0, 40), st.integers(0, 300), KEPT)
def test_window_is_empty_only_if_last_group_does_not_fit(
    branch: CountedGroups, max_turns: int, max_tokens: int, kept_seq: int | None
) -> None:
    window = recent_window(branch, WindowLimits(max_turns, max_tokens), kept_seq)
    fits = (
        len(branch) > 0
        and len(branch.groups[-1].turns) <= max_turns
        and branch.tokens[-1] <= max_tokens
    )
    assert bool(window.groups) is fits


@given(branches())
def test_window_is_whole_branch_if_it_fits(branch: CountedGroups) -> None:
    assert window_start(branch, WindowLimits(90, 1_500), None) == 0


@given(branches(), st.integers(0, 40), st.integers(0, 300))
def test_window_just_chosen_is_kept(branch: CountedGroups, max_turns: int, max_tokens: int) -> None:
    limits = WindowLimits(max_turns, max_tokens)
    window = recent_window(branch, limits, None)
    assert recent_window(branch, limits, window.first_seq) == window


def test_window_keeps_its_beginning_and_is_then_cut_by_half() -> None:
    starts = starts_of(range(1, 121), max_turns=20)
    runs = [len(list(run)) for _, run in itertools.groupby(starts)]
    assert runs[0] == 20
    assert set(runs[1:-1]) == {11}


def test_window_holds_between_half_and_all_turns_allowed() -> None:
    lengths = range(21, 121)
    starts = starts_of(lengths, max_turns=20)
    sizes = [length - start for length, start in zip(lengths, starts, strict=True)]
    assert (min(sizes), max(sizes)) == (10, 20)


def test_window_holds_between_half_and_all_tokens_allowed() -> None:
    limits, kept_seq, tokens = WindowLimits(1_000, 500, recent_tokens=20), None, []
    for length in range(21, 121):
        window = recent_window(branch_of(length), limits, kept_seq)
        kept_seq = window.first_seq
        tokens.append(window.tokens)
    assert (min(tokens), max(tokens)) == (10, 20)


def test_other_parts_do_not_move_window_that_fits_beside_them() -> None:
    limits = WindowLimits(1_000, 500, recent_tokens=20)
    starts = {window_start(branch_of(100), limits.without(taken), 85) for taken in (0, 200, 480)}
    assert starts == {84}


def test_window_only_moves_forward() -> None:
    starts = starts_of(range(121), max_turns=20)
    assert starts == sorted(starts)


def test_window_below_quarter_of_limits_is_chosen_anew() -> None:
    assert window_start(branch_of(100), WindowLimits(40, 10**6), 96) == 80


def test_steady_window_keeps_its_beginning_however_small() -> None:
    branch = branch_of(100)
    assert window_start(branch, WindowLimits(40, 10**6, steady=True), 96) == 95
    assert window_start(branch, WindowLimits(40, 10**6, steady=True), None) == 100


def test_window_reaches_back_to_group_it_must_hold() -> None:
    assert window_start(branch_of(10), WindowLimits(2, 100, must_hold=4), None) == 4


def test_window_does_not_begin_before_given_group() -> None:
    window = recent_window(branch_of(10), WindowLimits(9, 100), None, not_before=8)
    assert (window.first_seq, window.last_seq, window.tokens) == (9, 10, 2)


@pytest.mark.parametrize(("max_turns", "max_tokens"), [(0, 100), (5, 0), (0, 0)])
def test_window_without_room_is_empty(max_turns: int, max_tokens: int) -> None:
    assert starts_of(range(3, 4), max_turns, max_tokens) == [3]


def test_window_of_empty_branch_is_empty() -> None:
    window = recent_window(CountedGroups([], []), WindowLimits(5, 5), None)
    assert (window.start, window.first_seq, window.last_seq) == (0, None, None)


def test_group_tokens_are_those_of_its_messages() -> None:
    group = make_message_group(message("one two"), message("three", "assistant"))
    assert group_tokens(group, Words()) == sum(
        count_message(message, Words()) for message in group.messages
    )


# Limits.


TOOL_LOOP = CountedGroups(
    [
        make_message_group(message("and now?"), first_key=1),
        make_message_group(chat_calls("a"), chat_output("a"), first_key=2),
        make_message_group(chat_calls("b"), first_key=4),
    ],
    [10, 20, 30],
)


def limits_for(*new_messages: dict[str, Any], free_tokens: int = 100) -> WindowLimits:
    request, size = PromptRequest(new_messages), WindowSize(tokens=80, turns=2)
    return window_limits(TOOL_LOOP, request, size, free_tokens, steady=False)


def test_window_limits_for_new_user_message() -> None:
    assert limits_for(message("hi")) == WindowLimits(2, 100, recent_tokens=80)


def test_window_limits_hold_user_message_of_tool_loop() -> None:
    assert limits_for(chat_output("b")) == WindowLimits(
        2 + 4, 100, must_hold=0, recent_tokens=80 + 60
    )


def test_window_limits_hold_answered_calls_only_if_loop_does_not_fit() -> None:
    limits = limits_for(chat_output("b"), free_tokens=50)
    assert limits == WindowLimits(2 + 4, 50, must_hold=2, recent_tokens=80 + 60)


def test_answered_calls_that_do_not_fit_are_refused_with_counts() -> None:
    with pytest.raises(ContextLengthExceeded, match=r"take 30 tokens .* leaves 29\."):
        limits_for(chat_output("b"), free_tokens=29)


@pytest.mark.parametrize(("must_hold", "room"), [(None, 50), (2, 50), (0, 40)])
def test_summary_room_leaves_half_and_what_must_be_held(must_hold: int | None, room: int) -> None:
    assert summary_room(TOOL_LOOP, WindowLimits(9, 100, must_hold)) == room
