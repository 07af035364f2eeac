"""Prompts, and the state that the next prompt of a conversation starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from memory_service.core.models.recall import Hit
from memory_service.core.models.summaries import Summary


@dataclass(frozen=True, slots=True)
class RecalledSpan:
    """A hit by key, so that the same block can be made again."""

    turn_key: int
    start: int
    end: int
    score: float
    features: Mapping[str, float]

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return what is needed to make the hit again."""
        return cls(hit.turn.key, hit.start, hit.end, hit.score, dict(hit.features))


DropReason = Literal["budget", "duplicate", "orphan_tool_result", "unanswered_tool_call"]


@dataclass(frozen=True, slots=True)
class PromptState:
    """How a conversation's last prompt was built.

    `window_seq` is where its recent window began; `input_parent_key` and `input_hash` tell the user
    message that its block was made for; `recalled` is what is in that block, `left_out` what is not
    and why, by turn. `summaries` are the keys of those in its summary part; `model` is the newest
    that a prompt was for.
    """

    window_seq: int | None = None
    input_parent_key: int | None = None
    input_hash: bytes | None = None
    recalled: tuple[RecalledSpan, ...] = ()
    left_out: tuple[tuple[int, DropReason], ...] = ()
    model: str | None = None
    summaries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A turn that was a candidate for a prompt and stayed out, and why."""

    item_id: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Tokens by part; `total` covers the whole prompt and total + reserved_output <= budget."""

    system: int
    summary: int
    recent: int
    recalled: int
    input: int
    tools: int
    total: int
    reserved_output: int
    budget: int
    counter: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Chat-completions messages that fit, and how they came about."""

    messages: Sequence[Mapping[str, Any]]
    tokens: PromptTokens
    recalled: Sequence[Hit]
    recent_first_seq: int | None
    recent_last_seq: int | None
    summaries: Sequence[Summary] = ()
    dropped: Sequence[Dropped] = ()
    degraded: str | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """How a prompt or a search came about, in keys and numbers."""

    id: str
    created_at: int
    detail: Mapping[str, Any]
