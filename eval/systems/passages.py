"""Where a question looks, cut into the passages that a baseline compares.

The cut is the product's own, so that a long message counts by its best passage in every system and
the systems differ in how they compare, not in what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eval.datasets import Dataset, Question, Turn
from eval.systems import Found, best_first
from memory_service.core.settings import Settings
from memory_service.text.chunking import passage_text, windows
from memory_service.text.languages import detect_language


@dataclass(frozen=True, slots=True)
class PassageOfTurn:
    """A stretch of a turn, and the text that stands for it: its speaker in front."""

    turn: Turn
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """All passages where a question looks, in the order they were said, and their language."""

    passages: Sequence[PassageOfTurn]
    language: str | None


class Places:
    """The places of a set; the last few stay cut, since questions come place by place."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self._dataset = dataset
        self._words = settings.passage_words
        self._overlap = settings.passage_overlap_words
        self.of_conversations = lru_cache(maxsize=8)(self._cut)

    def key(self, question: Question) -> tuple[str, ...]:
        """Return the conversations that a question looks in."""
        return tuple(self._dataset.places(question))

    def turns(self, question: Question) -> list[Turn]:
        """Return the turns that a question looks in, oldest first."""
        turns = [turn for name in self.key(question) for turn in self._dataset.conversations[name]]
        return sorted(turns, key=lambda turn: turn.time)

    def _cut(self, conversations: tuple[str, ...]) -> Place:
        turns = [turn for name in conversations for turn in self._dataset.conversations[name]]
        passages = [
            PassageOfTurn(
                turn,
                window.start,
                window.end,
                passage_text(turn.speaker or turn.role, turn.text, window),
            )
            for turn in turns
            for window in windows(turn.text, words=self._words, overlap=self._overlap)
        ]
        return Place(passages, detect_language("\n".join(turn.text for turn in turns)))


def grouped(place: Place, scores: Mapping[int, float], depth: int) -> list[Found]:
    """Return the best turns by their best passage; `scores` are by number of passage."""
    best: dict[str, Found] = {}
    for number, score in scores.items():
        one = place.passages[number]
        known = best.get(one.turn.id)
        if known is None or score > known.score:
            best[one.turn.id] = Found(one.turn, score, one.start, one.end)
    return best_first(best.values(), depth)
