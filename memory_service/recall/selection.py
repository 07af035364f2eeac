"""Which of the ranked turns are recalled: the best, but not all from one conversation. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from memory_service.core.models import Considered, Outcome, Turn
from memory_service.recall.ranking import Ranked
from memory_service.text.folding import folded

LARGEST_SHARE = 0.8
"""Of the hits, what one conversation may have while others have candidates that stand out.

Of the own set's 369 questions of users with several conversations, all asked over the user for 10
hits, 0.8 found more for two and less for none; 0.5 found more for seven and less for twelve: most
questions are about one conversation.
"""


class Selection:
    """The turns that are recalled, chosen from turns that are offered best first.

    Of `top_k` hits one of several conversations has at most `LARGEST_SHARE`, rounded up, while
    others have candidates that score at least `bound`: a long conversation must not hide what was
    said on the subject in another. What was passed over takes the places that stay free. With
    `collapse` what the same speaker said before in the same words is left out.
    """

    def __init__(self, top_k: int, *, shared: bool, bound: float, collapse: bool) -> None:
        self._top_k = top_k
        self._most = math.ceil(top_k * LARGEST_SHARE) if shared else top_k
        self._bound = bound
        self._collapse = collapse
        self._offered: list[tuple[Ranked, Turn]] = []
        self._outcomes: dict[int, Outcome] = {}
        self._passed_over: list[Turn] = []
        self._chosen: Counter[int] = Counter()
        self._said: set[tuple[str, str]] = set()

    @property
    def is_full(self) -> bool:
        """Return whether as many turns are chosen as are wanted."""
        return self._chosen.total() >= self._top_k

    def offer(self, ranked: Ranked, turn: Turn, barred: Outcome | None) -> None:
        """Take a turn in or not; `barred` says why it may not be recalled however good it is."""
        if ranked.score < self._bound:
            self.fill_up()
        self._offered.append((ranked, turn))
        self._outcomes[turn.key] = barred or self._judge(turn)
        if self._outcomes[turn.key] == "over_share":
            self._passed_over.append(turn)
        else:
            # What a turn says that is passed over, another conversation may say in its place.
            self._said.add(_words(turn))

    def fill_up(self) -> None:
        """Give free places to the turns that were passed over; from here on none is."""
        self._most = self._top_k
        for turn in self._passed_over:
            if self.is_full:
                break
            self._outcomes[turn.key] = self._judge(turn)
            self._said.add(_words(turn))
        self._passed_over.clear()

    @property
    def chosen(self) -> list[tuple[Ranked, Turn]]:
        """Return the turns that are recalled, best first."""
        return [one for one in self._offered if self._outcomes[one[1].key] == "recalled"]

    @property
    def considered(self) -> list[Considered]:
        """Return all that was offered, best first, and what became of each."""
        return [
            Considered(turn.key, ranked.score, ranked.channels, self._outcomes[turn.key])
            for ranked, turn in self._offered
        ]

    def _judge(self, turn: Turn) -> Outcome:
        if self._collapse and _words(turn) in self._said:
            return "duplicate"
        if self.is_full:
            return "below_top_k"
        if self._chosen[turn.conversation_key] >= self._most:
            return "over_share"
        self._chosen[turn.conversation_key] += 1
        return "recalled"


def outstanding(ranked: Sequence[Ranked]) -> float:
    """Return the score from which a candidate stands out: a deviation above the mean of all."""
    scores = np.array([one.score for one in ranked])
    return float(scores.mean() + scores.std()) if len(scores) else 0.0


def _words(turn: Turn) -> tuple[str, str]:
    return turn.speaker, folded(turn.text)
