"""Prompts, and the state that the next prompt of a conversation starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from memory_service.core.models.recall import Hit
from memory_service.core.models.summaries import Summary


@dataclass(frozen=True, slots=True)
class RecalledSpan:
    """A hit by key: the span of a turn's text that a prompt quotes, and its score."""

    turn_key: int
    start: int
    end: int
    score: float
    features: Mapping[str, float]

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return the span of a hit."""
        return cls(hit.turn.key, hit.start, hit.end, hit.score, dict(hit.features))


DropReason = Literal["budget", "duplicate", "orphan_tool_result", "unanswered_tool_call"]


@dataclass(frozen=True, slots=True)
class PromptState:
    """How a conversation's last prompt was built.

    `window_seq` is the `seq` at which its recent window began. `input_parent_key` and `input_hash`
    identify the user message that its recalled block was made for. `recalled` are the spans in that
    block; `left_out` are the turns that it leaves out, by key, with the reason. `summaries` are the
    keys of the summaries in it. `model` is the newest model that a prompt was for.
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
    """A turn that was a candidate for a prompt and is not in it, with the reason."""

    item_id: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Tokens by part; `total` covers the whole prompt, and total + reserved_output <= budget."""

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
    """Chat-completions messages that fit their budget, and what they were made of.

    `degraded` names what was down, if anything.
    """

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
