"""Results of a recall: hits, and every turn that was ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memory_service.core.models.turns import Turn


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a recall brought back, with its scores by channel; `rank` counts from 1.

    `start` and `end` are the stretch of the turn's text that matched best, in characters: all of a
    short turn, one passage of a long one.
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
"""What became of a turn that was ranked; `over_share`: its conversation has its share of hits."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A turn that was ranked, and what became of it."""

    turn_key: int
    score: float
    channels: Mapping[str, float]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recall:
    """The outcome of a recall. `degraded` names what was down, if anything.

    `considered` are the ranked turns, best first; `stages_ms` says where the time went.
    """

    hits: Sequence[Hit]
    degraded: str | None = None
    considered: Sequence[Considered] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)
