"""Results of a recall: hits, and every turn that was ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memory_service.core.models.turns import Turn


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a recall returns, with its scores by feature; `rank` counts from 1.

    `start` and `end` are the span of the turn's text that matched best, in characters: the whole of
    a short turn, one passage of a long one.
    """

    turn: Turn
    start: int
    end: int
    conversation_id: str
    user_id: str | None
    score: float
    channels: Mapping[str, float]
    rank: int


Outcome = Literal[
    "recalled", "in_recent_window", "filtered", "duplicate", "over_share", "below_top_k"
]
"""Why a ranked turn is a hit or not; `over_share`: its conversation already has its share."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A turn that was ranked, and the outcome."""

    turn_key: int
    score: float
    channels: Mapping[str, float]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recall:
    """The result of a recall; `degraded` names the part that was down, if any.

    `considered` are the ranked turns, best first; `stages_ms` are the times of the stages.
    """

    hits: Sequence[Hit]
    degraded: str | None = None
    considered: Sequence[Considered] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)
