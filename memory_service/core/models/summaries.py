"""Summaries, their queue and status, and the answer of the model that writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memory_service.core.models.values import Vector


@dataclass(frozen=True, slots=True)
class SummaryPlace:
    """The range of turns that a summary covers, both ends included."""

    key: int
    level: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class NewSummary:
    """A summary to be stored, and its sources.

    `tip_key` is the last turn it covers; `began_at` and `ended_at` are the times of the first and
    the last turn. One of `turn_keys` and `summary_keys` is empty.
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
    """A model's summary of turns (level 1) or of summaries of lower levels."""

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
    """A summary that a search returns; `rank` counts from 1 among summaries."""

    summary: Summary
    conversation_id: str
    user_id: str | None
    score: float
    channels: Mapping[str, float]
    rank: int


@dataclass(frozen=True, slots=True)
class QueuedConversation:
    """A conversation that may have turns to summarise; `requests` is its newest request."""

    conversation_key: int
    requests: int


@dataclass(frozen=True, slots=True)
class SummaryStatus:
    """How many conversations wait for a summary or were set aside, and the last failure."""

    waiting: int
    set_aside: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer; `is_whole` is False if it was cut at its limit of tokens."""

    text: str
    is_whole: bool = True
