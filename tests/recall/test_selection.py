"""Selection: which of the ranked turns are recalled."""

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
from memory_service.recall.query import Query
from memory_service.recall.ranking import RankedCandidate
from memory_service.recall.selection import (
    LARGEST_SHARE,
    RankedTurn,
    SelectedTurns,
    SelectionRules,
    select,
    standout_score,
)
from memory_service.service import Service
from tests.support.factories import make_turn, message
from tests.support.storing import create

OFFERS = st.lists(st.integers(1, 4), max_size=40)
"""The conversation of each turn, best turn first."""
LOWEST = -math.inf
SMALL_TALK = ["Soup again.", "It rains.", "The bus was late.", "I slept well.", "So tired."]


def ranked_turn(key: int, text: str, conversation_key: int) -> RankedTurn:
    turn = make_turn(message(text), key=key, conversation_key=conversation_key)
    return RankedTurn(RankedCandidate(key, -float(key), {}), turn, None)


def select_from(
    conversations: Sequence[int], top_k: int, *, several: bool = True, standout: float = LOWEST
) -> SelectedTurns:
    """Select from turns 1, 2, ... that score -1, -2, ... and all have different texts."""
    turns = [
        ranked_turn(key, f"number {key}", conversation)
        for key, conversation in enumerate(conversations, start=1)
    ]
    rules = SelectionRules(top_k, several, standout, collapse_duplicates=True)
    return select([turns], rules)


def recalled(selected: SelectedTurns) -> list[int]:
    return [ranked.turn.key for ranked in selected.recalled]


def outcomes(selected: SelectedTurns) -> list[Outcome]:
    return [considered.outcome for considered in selected.considered]


@given(OFFERS, st.integers(1, 12))
def test_no_conversation_exceeds_share_while_others_have_candidates(
    conversations: list[int], top_k: int
) -> None:
    selected = select_from(conversations, top_k)
    counts = Counter(ranked.turn.conversation_key for ranked in selected.recalled)
    limit = math.ceil(top_k * LARGEST_SHARE)
    over = {conversation for conversation, count in counts.items() if count > limit}
    not_recalled = {
        conversation
        for conversation, outcome in zip(conversations, outcomes(selected), strict=True)
        if outcome != "recalled"
    }
    assert not over or not_recalled <= over


@given(OFFERS, st.integers(1, 12))
def test_all_hits_are_filled_in_order_of_ranking(conversations: list[int], top_k: int) -> None:
    keys = recalled(select_from(conversations, top_k))
    assert len(keys) == min(top_k, len(conversations))
    assert keys == sorted(keys)


@given(OFFERS, st.integers(1, 12))
def test_best_turns_of_each_conversation_are_recalled(conversations: list[int], top_k: int) -> None:
    pairs = list(zip(conversations, outcomes(select_from(conversations, top_k)), strict=True))
    for conversation in set(conversations):
        is_recalled = [outcome == "recalled" for key, outcome in pairs if key == conversation]
        assert is_recalled == sorted(is_recalled, reverse=True)


@given(OFFERS, st.integers(1, 12))
def test_single_conversation_has_no_share_limit(conversations: list[int], top_k: int) -> None:
    selected = select_from([1] * len(conversations), top_k, several=False)
    assert recalled(selected) == list(range(1, len(conversations) + 1))[:top_k]
    assert set(outcomes(selected)) <= {"recalled", "below_top_k"}


def test_turn_passed_over_has_outcome_over_share() -> None:
    selected = select_from([1, 1, 1, 1, 1, 2, 1], top_k=5)
    assert outcomes(selected) == [*["recalled"] * 4, "over_share", "recalled", "below_top_k"]


@pytest.mark.parametrize(
    ("standout", "expected"), [(-6.0, [1, 2, 3, 4, 6]), (-5.5, [1, 2, 3, 4, 5])]
)
def test_share_limit_ends_where_candidates_do_not_stand_out(
    standout: float, expected: list[int]
) -> None:
    assert recalled(select_from([1, 1, 1, 1, 1, 2], top_k=5, standout=standout)) == expected


def test_text_passed_over_is_recalled_from_another_conversation() -> None:
    texts = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("e", 2)]
    turns = [ranked_turn(key, *text) for key, text in enumerate(texts, start=1)]
    rules = SelectionRules(
        5, several_conversations=True, standout_score=LOWEST, collapse_duplicates=True
    )
    assert recalled(select([turns], rules)) == [1, 2, 3, 4, 6]


def test_no_further_batch_is_read_when_enough_turns_are_recalled() -> None:
    batches = iter([[ranked_turn(1, "a", 1)], [ranked_turn(2, "b", 1)], [ranked_turn(3, "c", 1)]])
    rules = SelectionRules(
        2, several_conversations=False, standout_score=LOWEST, collapse_duplicates=True
    )
    assert recalled(select(batches, rules)) == [1, 2]
    assert len(list(batches)) == 1


def test_long_conversation_of_user_leaves_hits_for_another(service: Service) -> None:
    days = (f"On day {day} a walrus came." for day in range(1, 7))
    long = itertools.chain.from_iterable((day, *SMALL_TALK) for day in days)
    create(service, "long", *long, user="ann")
    create(service, "short", *SMALL_TALK, "At noon a walrus came.", *SMALL_TALK, user="ann")
    recaller, project = service.new_recaller(), service.local_project()
    query = Query("When did a walrus come?", top_k=5)
    of_user = recaller.of_user(project, "ann", query)
    assert {hit.conversation_id for hit in of_user.hits} == {"long", "short"}
    assert "over_share" in {considered.outcome for considered in of_user.considered}
    alone = recaller.in_conversation(project, "long", query)
    assert "over_share" not in {considered.outcome for considered in alone.considered}


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_standout_score_is_one_deviation_above_mean(scores: list[float]) -> None:
    bound = standout_score([RankedCandidate(key, score, {}) for key, score in enumerate(scores)])
    assert bound == pytest.approx(np.mean(scores) + np.std(scores))
    assert min(scores) <= bound + 1e-9
