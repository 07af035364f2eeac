"""No search at all: the last turns, or the whole history as far as the budget goes."""

from __future__ import annotations

from collections.abc import Sequence

from eval.datasets import Question
from eval.systems import Baseline, Found, whole
from eval.systems.passages import Places

LAST_TURNS = 20
"""What many programs send: the last few exchanges."""


class LastTurns(Baseline):
    """The last `LAST_TURNS` turns, the newest first."""

    name = f"last-{LAST_TURNS}"

    def __init__(self, places: Places) -> None:
        self._places = places

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return the last turns; the score counts down from the newest."""
        turns = self._places.turns(question)[-min(depth, LAST_TURNS) :]
        return [whole(turn, float(score)) for score, turn in enumerate(turns, start=1)][::-1]


class FullHistory(Baseline):
    """Everything, the newest first: what does not fit is what was said first."""

    name = "full-history"

    def __init__(self, places: Places) -> None:
        self._places = places

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return all turns, as many as are asked for; the score counts down from the newest."""
        turns = self._places.turns(question)[-depth:]
        return [whole(turn, float(score)) for score, turn in enumerate(turns, start=1)][::-1]
