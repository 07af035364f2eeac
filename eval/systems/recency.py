"""The systems `last-20` and `full-history`: no search, only the newest turns."""

from __future__ import annotations

from collections.abc import Sequence

from eval.datasets.models import Question
from eval.systems.scopes import ScopeCache
from eval.systems.system import Baseline, RetrievedTurn, whole

LAST_TURNS = 20
"""What many programs send: the last ten exchanges."""


class LastTurns(Baseline):
    """The last `LAST_TURNS` turns, the newest first."""

    name = f"last-{LAST_TURNS}"

    def __init__(self, scopes: ScopeCache) -> None:
        self._scopes = scopes

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the last turns; the score counts down from the newest."""
        return _newest(self._scopes, question, min(depth, LAST_TURNS))


class FullHistory(Baseline):
    """All turns, the newest first; the oldest are left out of a prompt that is full."""

    name = "full-history"

    def __init__(self, scopes: ScopeCache) -> None:
        self._scopes = scopes

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the last `depth` turns; the score counts down from the newest."""
        return _newest(self._scopes, question, depth)


def _newest(scopes: ScopeCache, question: Question, number: int) -> list[RetrievedTurn]:
    turns = scopes.turns(question)[-number:]
    return [whole(turn, float(score)) for score, turn in enumerate(turns, start=1)][::-1]
