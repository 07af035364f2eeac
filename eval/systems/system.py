"""A system: it finds turns for a question.

All systems see the same turns and fill the same prompt. They break ties alike: the higher score,
then the newer turn, then the larger id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from eval.datasets.models import DatasetTurn, Question

PRODUCT = "product"
"""The name of the system that is the service itself."""
WITHOUT = f"{PRODUCT}-without-"
"""What the name of an ablation begins with: the product without one part of its ranking."""
TIES = "higher score, newer turn, larger id"


@dataclass(frozen=True, slots=True)
class RetrievedTurn:
    """A turn that a system found; `start` and `end` bound what a prompt quotes, in characters."""

    turn: DatasetTurn
    score: float
    start: int
    end: int


class System(Protocol):
    """Something that finds turns."""

    @property
    def name(self) -> str:
        """Its name in tables and files: letters, digits, `-`, `_` and `.`."""

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return at most `depth` turns of the question's scope, best first, without duplicates."""

    def for_prompt(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return what is offered to a prompt: nothing, if the question calls for no memory."""


class Baseline:
    """A system that offers all turns that it finds to a prompt."""

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return at most `depth` turns, best first."""
        raise NotImplementedError

    def for_prompt(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return what a search finds: a baseline does not judge whether memory is called for."""
        return self.search(question, depth)


def whole(turn: DatasetTurn, score: float) -> RetrievedTurn:
    """Return a retrieved turn that is quoted completely."""
    return RetrievedTurn(turn, score, 0, len(turn.text))


def best_first(retrieved: Iterable[RetrievedTurn], depth: int) -> list[RetrievedTurn]:
    """Return the best turns by score, newer turn, larger id."""
    ordered = sorted(
        retrieved, key=lambda hit: (hit.score, hit.turn.time, hit.turn.id), reverse=True
    )
    return ordered[:depth]
