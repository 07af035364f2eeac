"""Projects, API keys and users."""

from __future__ import annotations

import hashlib
import secrets

import sqlalchemy as sa

from memory_service.core.models import ApiKey, Order, Page, User
from memory_service.turn_log.schema import api_keys, conversations, projects, turns, users
from memory_service.turn_log.statements import Statements, beyond, inserted_key, ordered

KEY_PREFIX = "msk_"
_HINT_CHARS = 4

_USER_KEY = sa.select(users.c.id).where(
    users.c.project_id == sa.bindparam("project_key"),
    users.c.external_id == sa.bindparam("user_id"),
)
_MARK_SEEN = (
    sa.update(users)
    .where(users.c.id == sa.bindparam("key"))
    .values(last_seen_at=sa.bindparam("now"))
)


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hex; keys hold 256 random bits, so no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class TenantReads(Statements):
    """Who may come in, and who is known."""

    def has_api_keys(self) -> bool:
        """Return whether a key was ever made: revoking the last one must not open the door."""
        return self._connection.scalar(sa.select(api_keys.c.id).limit(1)) is not None

    def project_of_key(self, key: str) -> int | None:
        """Return the project that an unrevoked key opens."""
        return self._connection.scalar(
            sa.select(api_keys.c.project_id).where(
                api_keys.c.hash == hash_key(key), api_keys.c.revoked_at.is_(None)
            )
        )

    def project(self, name: str) -> int | None:
        """Return a project's key by its name."""
        return self._connection.scalar(sa.select(projects.c.id).where(projects.c.name == name))

    def projects(self) -> dict[int, str]:
        """Return the names of all projects by key."""
        rows = self._connection.execute(sa.select(projects.c.id, projects.c.name))
        return {row.id: row.name for row in rows}

    def api_keys(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        rows = self._connection.execute(
            sa.select(api_keys, projects.c.name)
            .join(projects, projects.c.id == api_keys.c.project_id)
            .order_by(api_keys.c.id)
        )
        return [ApiKey(row.id, row.name, row.hint, row.created_at, row.revoked_at) for row in rows]

    def user_key(self, project_key: int, user_id: str) -> int | None:
        """Return a user's key by the id that clients use."""
        return self._connection.scalar(_USER_KEY, {"project_key": project_key, "user_id": user_id})

    def user(self, project_key: int, user_id: str) -> User | None:
        """Return a user of the project."""
        rows = self._users(project_key, users.c.external_id == user_id)
        return rows[0] if rows else None

    def users(self, project_key: int, after: int | None, limit: int, order: Order) -> Page:
        """Return a page of the project's users in the order they were first seen."""
        found = self._users(
            project_key, beyond(users.c.id, after, order), order=order, limit=limit + 1
        )
        return Page(found[:limit], has_more=len(found) > limit)

    def _users(
        self,
        project_key: int,
        condition: sa.ColumnElement[bool],
        order: Order = "asc",
        limit: int = 1,
    ) -> list[User]:
        conversation_count = (
            sa.select(sa.func.count())
            .select_from(conversations)
            .where(conversations.c.user_id == users.c.id)
            .scalar_subquery()
        )
        turn_count = (
            sa.select(sa.func.count())
            .select_from(turns.join(conversations, conversations.c.id == turns.c.conversation_id))
            .where(conversations.c.user_id == users.c.id)
            .scalar_subquery()
        )
        rows = self._connection.execute(
            sa.select(users, conversation_count.label("conversations"), turn_count.label("turns"))
            .where(users.c.project_id == project_key, condition)
            .order_by(ordered(users.c.id, order))
            .limit(limit)
        )
        return [
            User(
                row.id,
                row.external_id,
                row.created_at,
                row.last_seen_at,
                row.conversations,
                row.turns,
            )
            for row in rows
        ]


class TenantWrites(TenantReads):
    """Making projects, keys and users."""

    def ensure_project(self, name: str, now: int) -> int:
        """Return the project's key, making the project if it is new."""
        found = self.project(name)
        if found is not None:
            return found
        made = self._connection.execute(sa.insert(projects).values(name=name, created_at=now))
        return inserted_key(made)

    def create_api_key(self, project_key: int, now: int) -> str:
        """Return a new key; only its hash is kept, so it cannot be shown again."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        self._connection.execute(
            sa.insert(api_keys).values(
                project_id=project_key, hash=hash_key(key), hint=key[-_HINT_CHARS:], created_at=now
            )
        )
        return key

    def revoke_api_key(self, key_number: int, now: int) -> bool:
        """Revoke a key by its number in `api_keys()`; return whether it was valid until now."""
        changed = self._connection.execute(
            sa.update(api_keys)
            .where(api_keys.c.id == key_number, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        return changed.rowcount == 1

    def ensure_user(self, project_key: int, user_id: str, now: int) -> int:
        """Return the user's key, making the user if it is new."""
        found = self.user_key(project_key, user_id)
        if found is not None:
            return found
        made = self._connection.execute(
            sa.insert(users).values(
                project_id=project_key, external_id=user_id, created_at=now, last_seen_at=now
            )
        )
        return inserted_key(made)

    def mark_seen(self, user_key: int, now: int) -> None:
        """Note that the user said something."""
        self._connection.execute(_MARK_SEEN, {"key": user_key, "now": now})
