"""Conversations."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.core.models.values import Metadata


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of turns; the path from the root to `head` is its active branch."""

    key: int
    id: str
    user_key: int | None
    user: str | None
    title: str | None
    metadata: Metadata
    created_at: int
    head_key: int | None
    next_seq: int
    language: str | None
    passages: int
    terms: int
    erasures: int
    path_changes: int
    summaries: bool | None = None
