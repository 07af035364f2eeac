"""API keys and users of a project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key: never the key, never its hash."""

    id: int
    project: str
    hint: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class User:
    """An opaque id inside a project, with what the log knows of it."""

    key: int
    id: str
    created_at: int
    last_seen_at: int
    conversations: int
    turns: int
