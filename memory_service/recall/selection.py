"""Stage 5, selection: the best turns, but not all from one conversation. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from memory_service.core.models import Considered, Outcome, Scope, Turn
from memory_service.recall.query import Query
from memory_service.recall.ranking import RankedCandidate
from memory_service.text.folding import folded

LARGEST_SHARE = 0.8
"""Share of the hits that one conversation may have while others have candidates that stand out.

Of the own set's 369 questions of users with several conversations, all asked over the user for 10
hits, 0.8 found more for two and less for none; 0.5 found more for seven and less for twelve: most
questions are about one conversation.
"""


class RankedTurn(NamedTuple):
    """A ranked candidate with its turn; `exclusion` says why it may not be recalled, if so."""

    candidate: RankedCandidate
    turn: Turn
    exclusion: Outcome | None


@dataclass(frozen=True, slots=True)
class SelectionRules:
    """How hits are chosen.

    Of `top_k` hits one of `several_conversations` gets at most `LARGEST_SHARE`, rounded up, while
    others have candidates that score at least `standout_score`: a long conversation must not hide
    what was said on the subject in another. Turns that were passed over for that take the hits
    that stay free. With `collapse_duplicates` a turn is left out if its speaker said the same words
    in a better one.
    """

    top_k: int
    several_conversations: bool
    standout_score: float
    collapse_duplicates: bool

    @classmethod
    def of(cls, query: Query, scope: Scope, ranked: Sequence[RankedCandidate]) -> Self:
        """Return the rules for the candidates of a query in a scope."""
        return cls(
            query.top_k,
            several_conversations=len(scope.members) > 1,
            standout_score=standout_score(ranked),
            # A prompt collapses duplicates itself, and reports them.
            collapse_duplicates=not query.relevant_only,
        )


@dataclass(frozen=True, slots=True)
class SelectedTurns:
    """The turns that are recalled, and all that were considered; both are sorted, best first."""

    recalled: Sequence[RankedTurn]
    considered: Sequence[Considered]


def select(batches: Iterable[Sequence[RankedTurn]], rules: SelectionRules) -> SelectedTurns:
    """Choose among turns that come in batches, best first, until there are enough."""
    selector = _Selector(rules)
    for batch in batches:
        for turn in batch:
            selector.offer(turn)
        if selector.is_full:
            break
    selector.admit_passed_over()
    return selector.result()


def standout_score(ranked: Sequence[RankedCandidate]) -> float:
    """Return the score from which a candidate stands out: a deviation above the mean of all."""
    scores = np.array([candidate.score for candidate in ranked])
    return float(scores.mean() + scores.std()) if len(scores) else 0.0


class _Selector:
    """The state of a selection: what was offered, and what became of it."""

    def __init__(self, rules: SelectionRules) -> None:
        self._rules = rules
        self._share = (
            math.ceil(rules.top_k * LARGEST_SHARE) if rules.several_conversations else rules.top_k
        )
        self._offered: list[RankedTurn] = []
        self._outcomes: dict[int, Outcome] = {}
        self._passed_over: list[Turn] = []
        self._taken: Counter[int] = Counter()
        self._texts: set[tuple[str, str]] = set()

    @property
    def is_full(self) -> bool:
        """Whether as many turns are recalled as are wanted."""
        return self._taken.total() >= self._rules.top_k

    def offer(self, ranked: RankedTurn) -> None:
        """Decide whether a turn is recalled."""
        if ranked.candidate.score < self._rules.standout_score:
            self.admit_passed_over()
        turn = ranked.turn
        self._offered.append(ranked)
        self._outcomes[turn.key] = ranked.exclusion or self._judge(turn)
        if self._outcomes[turn.key] == "over_share":
            # Its text is not noted: another conversation may recall the same words instead.
            self._passed_over.append(turn)
        else:
            self._texts.add(_comparable(turn))

    def admit_passed_over(self) -> None:
        """Recall turns that were passed over while hits are free; pass over none from now on."""
        self._share = self._rules.top_k
        for turn in self._passed_over:
            if self.is_full:
                break
            self._outcomes[turn.key] = self._judge(turn)
            self._texts.add(_comparable(turn))
        self._passed_over.clear()

    def result(self) -> SelectedTurns:
        """Return what became of the turns that were offered."""
        return SelectedTurns(
            [offer for offer in self._offered if self._outcomes[offer.turn.key] == "recalled"],
            [
                Considered(turn.key, candidate.score, candidate.features, self._outcomes[turn.key])
                for candidate, turn, _ in self._offered
            ],
        )

    def _judge(self, turn: Turn) -> Outcome:
        if self._rules.collapse_duplicates and _comparable(turn) in self._texts:
            return "duplicate"
        if self.is_full:
            return "below_top_k"
        if self._taken[turn.conversation_key] >= self._share:
            return "over_share"
        self._taken[turn.conversation_key] += 1
        return "recalled"


def _comparable(turn: Turn) -> tuple[str, str]:
    """Return what duplicates have in common."""
    return turn.speaker, folded(turn.text)
