"""Distractors: turns that repeat no target and rarely each other."""

from __future__ import annotations

import pytest

from eval.datasets import own
from eval.datasets.distractors import EXCERPT_TURNS, Distractors
from eval.errors import DatasetError
from memory_service.text.folding import folded


def bundled(seed: int = 0) -> Distractors:
    conversations = list(own.load().conversations.values())
    return Distractors(conversations[0], conversations[1:], seed)


def test_distractors_never_repeat_targets() -> None:
    texts = {folded(turn.text) for turn in next(iter(own.load().conversations.values()))}
    distractors = bundled()
    turns = [turn for number in range(200) for turn in distractors.excerpt(number)]
    assert not texts & {folded(turn.text) for turn in turns}


def test_long_distractors_are_almost_unique() -> None:
    distractors = bundled()
    number = 2 * distractors.distinct // EXCERPT_TURNS
    long = [
        folded(turn.text)
        for index in range(number)
        for turn in distractors.excerpt(index)
        if len(turn.text) > 60
    ]
    assert len(set(long)) >= 0.99 * len(long)


def test_excerpt_depends_on_seed_and_number_only() -> None:
    first, second = bundled(), bundled()
    second.excerpt(3)
    assert first.excerpt(150) == second.excerpt(150) != bundled(seed=1).excerpt(150)
    assert len(first.excerpt(150)) == EXCERPT_TURNS


def test_conversation_that_repeats_targets_is_excluded() -> None:
    talk = next(iter(own.load().conversations.values()))
    with pytest.raises(DatasetError, match="no other conversation"):
        Distractors(talk, [talk], 0)
