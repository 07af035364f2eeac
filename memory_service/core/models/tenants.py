"""API keys and users of a project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it may be shown: without the key and its hash."""

    id: int
    project: str
    hint: str
    created_at: int
    revoked_at: int | None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What an API key opens: a project, or with a `user` only what is this user's."""

    project_key: int
    user: str | None


@dataclass(frozen=True, slots=True)
class User:
    """A user of a project (an opaque id), with numbers from the log."""

    key: int
    id: str
    created_at: int
    last_seen_at: int
    conversations: int
    turns: int
