"""The passages that baselines compare: those of the conversations that a question is asked about.

Turns are cut as the product cuts them, so that a long message counts by its best passage in every
system and the systems differ only in how they compare passages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.systems.system import RetrievedTurn, best_first
from memory_service.core.settings import Settings
from memory_service.text.chunking import passage_text, windows
from memory_service.text.languages import detect_language


@dataclass(frozen=True, slots=True)
class TurnPassage:
    """A span of a turn, and its text: the speaker, then the span."""

    turn: DatasetTurn
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ScopePassages:
    """All passages of a scope, in the order of its turns, and the language of the scope."""

    passages: Sequence[TurnPassage]
    language: str | None


class ScopeCache:
    """The scopes of a set. The last eight stay cut, since questions come scope by scope."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self._dataset = dataset
        self._words = settings.passage_words
        self._overlap = settings.passage_overlap_words
        self.passages = lru_cache(maxsize=8)(self._cut)

    def key(self, question: Question) -> tuple[str, ...]:
        """Return the conversations of a question's scope."""
        return tuple(self._dataset.scope(question))

    def turns(self, question: Question) -> list[DatasetTurn]:
        """Return the turns of a question's scope, oldest first."""
        return sorted(self._turns_of(self.key(question)), key=lambda turn: turn.time)

    def _turns_of(self, conversations: Sequence[str]) -> list[DatasetTurn]:
        return [turn for name in conversations for turn in self._dataset.conversations[name]]

    def _cut(self, conversations: tuple[str, ...]) -> ScopePassages:
        turns = self._turns_of(conversations)
        passages = [
            TurnPassage(
                turn,
                window.start,
                window.end,
                passage_text(turn.speaker or turn.role, turn.text, window),
            )
            for turn in turns
            for window in windows(turn.text, words=self._words, overlap=self._overlap)
        ]
        return ScopePassages(passages, detect_language("\n".join(turn.text for turn in turns)))


def best_turns(
    scope: ScopePassages, scores: Mapping[int, float], depth: int
) -> list[RetrievedTurn]:
    """Return the best turns, each by its best passage; `scores` are by index of passage."""
    best: dict[str, RetrievedTurn] = {}
    for index, score in scores.items():
        passage = scope.passages[index]
        previous = best.get(passage.turn.id)
        if previous is None or score > previous.score:
            hit = RetrievedTurn(passage.turn, score, passage.start, passage.end)
            best[passage.turn.id] = hit
    return best_first(best.values(), depth)
