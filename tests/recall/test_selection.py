"""Which of the ranked turns are recalled."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Outcome
from memory_service.recall.ranking import Ranked
from memory_service.recall.recaller import Query
from memory_service.recall.selection import LARGEST_SHARE, Selection, outstanding
from memory_service.service import Service
from tests.support.factories import make_turn, message
from tests.support.storing import create

OFFERS = st.lists(st.integers(1, 4), max_size=40)
"""The conversation of each turn, best turn first."""
LOWEST = -math.inf
SMALL_TALK = ["Soup again.", "It rains.", "The bus was late.", "I slept well.", "So tired."]


def select(
    conversations: Sequence[int], top_k: int, *, shared: bool = True, bound: float = LOWEST
) -> Selection:
    """Offer turns 1, 2, ... that score -1, -2, ... and all say something else."""
    selection = Selection(top_k, shared=shared, bound=bound, collapse=True)
    for key, conversation in enumerate(conversations, start=1):
        turn = make_turn(message(f"number {key}"), key=key, conversation_key=conversation)
        selection.offer(Ranked(key, -float(key), {}), turn, None)
    selection.fill_up()
    return selection


def chosen(selection: Selection) -> list[int]:
    return [turn.key for _, turn in selection.chosen]


def outcomes(selection: Selection) -> list[Outcome]:
    return [one.outcome for one in selection.considered]


@given(OFFERS, st.integers(1, 12))
def test_no_conversation_exceeds_its_share_while_others_have_candidates(
    conversations: list[int], top_k: int
) -> None:
    found = select(conversations, top_k)
    taken = Counter(turn.conversation_key for _, turn in found.chosen)
    most = math.ceil(top_k * LARGEST_SHARE)
    over = {conversation for conversation, count in taken.items() if count > most}
    left = {
        conversation
        for conversation, outcome in zip(conversations, outcomes(found), strict=True)
        if outcome != "recalled"
    }
    assert not over or left <= over


@given(OFFERS, st.integers(1, 12))
def test_every_place_is_filled_and_the_order_is_that_of_the_ranking(
    conversations: list[int], top_k: int
) -> None:
    found = chosen(select(conversations, top_k))
    assert len(found) == min(top_k, len(conversations))
    assert found == sorted(found)


@given(OFFERS, st.integers(1, 12))
def test_within_each_conversation_the_best_are_recalled(
    conversations: list[int], top_k: int
) -> None:
    found = outcomes(select(conversations, top_k))
    for one in set(conversations):
        of_one = [
            outcome == "recalled"
            for conversation, outcome in zip(conversations, found, strict=True)
            if conversation == one
        ]
        assert of_one == sorted(of_one, reverse=True)


@given(OFFERS, st.integers(1, 12))
def test_a_scope_of_one_conversation_gets_its_best(conversations: list[int], top_k: int) -> None:
    found = select([1] * len(conversations), top_k, shared=False)
    assert chosen(found) == list(range(1, len(conversations) + 1))[:top_k]
    assert set(outcomes(found)) <= {"recalled", "below_top_k"}


def test_what_is_passed_over_says_so() -> None:
    found = select([1, 1, 1, 1, 1, 2, 1], top_k=5)
    assert outcomes(found) == [*["recalled"] * 4, "over_share", "recalled", "below_top_k"]


@pytest.mark.parametrize(("bound", "expected"), [(-6.0, [1, 2, 3, 4, 6]), (-5.5, [1, 2, 3, 4, 5])])
def test_no_good_turn_makes_room_for_one_that_does_not_stand_out(
    bound: float, expected: list[int]
) -> None:
    assert chosen(select([1, 1, 1, 1, 1, 2], top_k=5, bound=bound)) == expected


def test_what_was_passed_over_in_the_same_words_is_recalled_from_another_conversation() -> None:
    selection = Selection(5, shared=True, bound=LOWEST, collapse=True)
    said = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("e", 2)]
    for key, (text, conversation) in enumerate(said, start=1):
        turn = make_turn(message(text), key=key, conversation_key=conversation)
        selection.offer(Ranked(key, -float(key), {}), turn, None)
    selection.fill_up()
    assert chosen(selection) == [1, 2, 3, 4, 6]


def test_over_a_user_a_long_conversation_leaves_room_for_another(service: Service) -> None:
    days = (f"On day {day} a walrus came." for day in range(1, 7))
    long = itertools.chain.from_iterable((day, *SMALL_TALK) for day in days)
    create(service, "long", *long, user="ann")
    create(service, "short", *SMALL_TALK, "At noon a walrus came.", *SMALL_TALK, user="ann")
    recaller, project = service.new_recaller(), service.local_project()
    query = Query("When did a walrus come?", top_k=5)
    of_user = recaller.of_user(project, "ann", query)
    assert {hit.conversation_id for hit in of_user.hits} == {"long", "short"}
    assert "over_share" in {one.outcome for one in of_user.considered}
    alone = recaller.in_conversation(project, "long", query)
    assert "over_share" not in {one.outcome for one in alone.considered}


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_a_deviation_above_the_mean_stands_out(scores: list[float]) -> None:
    bound = outstanding([Ranked(key, score, {}) for key, score in enumerate(scores)])
    assert bound == pytest.approx(np.mean(scores) + np.std(scores))
    assert min(scores) <= bound + 1e-9
