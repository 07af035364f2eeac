"""Results of a recall: hits, and every turn that was considered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memory_service.core.models.turns import Turn


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that was recalled, with its score; `rank` counts from 1.

    `start` and `end` are the span of the turn's text that matches best, in characters: all of a
    short turn, one passage of a long one. `features` says what each feature adds to the score, by
    the feature's name.
    """

    turn: Turn
    start: int
    end: int
    conversation_id: str
    user_id: str | None
    score: float
    features: Mapping[str, float]
    rank: int


Outcome = Literal[
    "recalled", "in_recent_window", "filtered", "duplicate", "over_share", "below_top_k"
]
"""What became of a turn that was considered.

`over_share`: its conversation already has its share of the hits.
"""


@dataclass(frozen=True, slots=True)
class Considered:
    """A turn that was ranked and read, with its score, and what became of it."""

    turn_key: int
    score: float
    features: Mapping[str, float]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recall:
    """The result of a recall. `degraded` names what was down, if anything was.

    `considered` is sorted, best first. `stages_ms` has the milliseconds by stage.
    """

    hits: Sequence[Hit]
    degraded: str | None = None
    considered: Sequence[Considered] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)
