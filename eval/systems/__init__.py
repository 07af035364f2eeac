"""Systems that are compared: each finds turns for a question; one file a kind.

All of them see the same turns and fill the same prompt. Ties are decided alike in all of them: the
higher score, then the newer turn, then the larger id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from eval.datasets import Question, Turn

PRODUCT = "product"
TIES = "higher score, newer turn, larger id"


@dataclass(frozen=True, slots=True)
class Found:
    """A turn that was found; `start` and `end` bound what a prompt quotes of it, in characters."""

    turn: Turn
    score: float
    start: int
    end: int


class System(Protocol):
    """Something that finds turns."""

    @property
    def name(self) -> str:
        """Its name in tables and files: letters, digits, `-`, `_` and `.`."""

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return at most `depth` turns where the question looks, best first, each once."""

    def for_prompt(self, question: Question, depth: int) -> Sequence[Found]:
        """Return what is offered to a prompt: it may be nothing where nothing is asked."""


class Baseline:
    """A system that offers to a prompt what it finds."""

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return at most `depth` turns, best first."""
        raise NotImplementedError

    def for_prompt(self, question: Question, depth: int) -> Sequence[Found]:
        """Return what a search finds: a baseline does not know when nothing is asked."""
        return self.search(question, depth)


def whole(turn: Turn, score: float) -> Found:
    """Return a turn of which all is quoted."""
    return Found(turn, score, 0, len(turn.text))


def best_first(found: Iterable[Found], depth: int) -> list[Found]:
    """Return the best by score, newer turn, larger id."""
    return sorted(found, key=lambda one: (one.score, one.turn.time, one.turn.id), reverse=True)[
        :depth
    ]
