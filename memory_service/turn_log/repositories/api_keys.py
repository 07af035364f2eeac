"""API keys: only their hashes are stored."""

from __future__ import annotations

import hashlib
import secrets

import sqlalchemy as sa

from memory_service.core.models import ApiKey, KeyAccess
from memory_service.turn_log.repositories.statements import Statements
from memory_service.turn_log.schema import api_keys, projects

KEY_PREFIX = "msk_"

_HINT_CHARS = 4


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hex; keys hold 256 random bits, so no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKeyQueries(Statements):
    """Reads API keys."""

    def exist(self) -> bool:
        """Return whether a key was ever created; keyless mode ends then, even if it is revoked."""
        return self._connection.scalar(sa.select(api_keys.c.key).limit(1)) is not None

    def access_of(self, key: str) -> KeyAccess | None:
        """Return what an unrevoked key opens."""
        row = self._connection.execute(
            sa.select(api_keys.c.project_key, api_keys.c.user_id).where(
                api_keys.c.hash == hash_key(key), api_keys.c.revoked_at.is_(None)
            )
        ).first()
        return None if row is None else KeyAccess(row.project_key, row.user_id)

    def all(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        rows = self._connection.execute(
            sa.select(api_keys, projects.c.name)
            .join(projects, projects.c.key == api_keys.c.project_key)
            .order_by(api_keys.c.key)
        )
        return [
            ApiKey(row.key, row.name, row.hint, row.created_at, row.revoked_at, row.user_id)
            for row in rows
        ]


class ApiKeyRepository(ApiKeyQueries):
    """Creates and revokes API keys."""

    def create(self, project_key: int, now: int, *, user: str | None = None) -> str:
        """Return a new key; only its hash is kept, so it cannot be shown again.

        A key with a `user` acts as this user only.
        """
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        self._connection.execute(
            sa.insert(api_keys).values(
                project_key=project_key,
                hash=hash_key(key),
                hint=key[-_HINT_CHARS:],
                created_at=now,
                user_id=user,
            )
        )
        return key

    def revoke(self, key_number: int, now: int) -> bool:
        """Revoke a key by its number in `all()`; return whether it was valid until now."""
        changed = self._connection.execute(
            sa.update(api_keys)
            .where(api_keys.c.key == key_number, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        return changed.rowcount == 1
