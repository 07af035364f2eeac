"""Summaries, their queue and status, and the answers of the model that writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memory_service.core.models.values import Vector


@dataclass(frozen=True, slots=True)
class SummaryRange:
    """The turns of a branch that a summary covers, from `first_seq` to `last_seq` inclusive."""

    key: int
    level: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class NewSummary:
    """A summary that is not stored yet, and what it is made of.

    `tip_key` is the last turn it covers. `began_at` and `ended_at` are the earliest and the latest
    time of its turns. One of `turn_keys` and `summary_keys` is empty.
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
    """A model's summary of turns (level 1), or of summaries of lower levels (level 2 and above)."""

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
    """A summary that a search found; `rank` counts from 1 among summaries."""

    summary: Summary
    conversation_id: str
    user_id: str | None
    score: float
    features: Mapping[str, float]
    rank: int


@dataclass(frozen=True, slots=True)
class QueuedConversation:
    """A conversation that may have turns to summarise, as of its newest request."""

    conversation_key: int
    requests: int


@dataclass(frozen=True, slots=True)
class SummaryStatus:
    """The number of conversations that wait, of refused tasks, and the last failure."""

    waiting: int
    set_aside: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The text of a model's answer; `is_whole` is False if it was cut at its limit of tokens."""

    text: str
    is_whole: bool = True
