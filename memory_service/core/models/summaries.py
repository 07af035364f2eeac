"""Summaries, their queue and status, and the answer of the model that writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memory_service.core.models.values import Vector


@dataclass(frozen=True, slots=True)
class SummaryPlace:
    """Which turns of a path a summary covers: both ends are meant."""

    key: int
    level: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class NewSummary:
    """A summary on its way into the log, and what it was made of.

    `tip_key` is the last turn it covers; `began_at` and `ended_at` are when the first and the last
    were said. Of `turn_keys` and `summary_keys` one is empty.
    """

    level: int
    first_seq: int
    last_seq: int
    tip_key: int
    began_at: int
    ended_at: int
    turn_keys: tuple[int, ...] = ()
    summary_keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model wrote of turns (level 1), or of summaries one level below or lower."""

    key: int
    id: str
    conversation_key: int
    level: int
    first_seq: int
    last_seq: int
    tip_key: int
    began_at: int
    ended_at: int
    text: str
    model: str
    created_at: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class SummaryHit:
    """A summary that a search brought back; `rank` counts from 1 among summaries."""

    summary: Summary
    conversation_id: str
    user_id: str | None
    score: float
    features: Mapping[str, float]
    rank: int


@dataclass(frozen=True, slots=True)
class QueuedConversation:
    """A conversation that may have something to summarise, as of its newest request."""

    conversation_key: int
    requests: int


@dataclass(frozen=True, slots=True)
class SummaryStatus:
    """How many conversations wait to be summarised, what was refused, and the last failure."""

    waiting: int
    set_aside: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said; `is_whole` is False where it was cut at its limit of tokens."""

    text: str
    is_whole: bool = True
