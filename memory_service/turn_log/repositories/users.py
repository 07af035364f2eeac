"""Users: opaque ids inside a project."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.core.models import Order, Page, User
from memory_service.turn_log.repositories.statements import (
    Statements,
    beyond,
    inserted_key,
    ordered,
)
from memory_service.turn_log.schema import conversations, turns, users

_USER_KEY = sa.select(users.c.key).where(
    users.c.project_key == sa.bindparam("project_key"),
    users.c.id == sa.bindparam("user_id"),
)

_MARK_SEEN = (
    sa.update(users)
    .where(users.c.key == sa.bindparam("user_key"))
    .values(last_seen_at=sa.bindparam("now"))
)


class UserQueries(Statements):
    """Reads users, always under their project."""

    def key_of(self, project_key: int, user_id: str) -> int | None:
        """Return a user's key by the id that clients use."""
        return self._connection.scalar(_USER_KEY, {"project_key": project_key, "user_id": user_id})

    def by_key(self, user_key: int) -> str | None:
        """Return a user's id by the key."""
        return self._connection.scalar(sa.select(users.c.id).where(users.c.key == user_key))

    def get(self, project_key: int, user_id: str) -> User | None:
        """Return a user of the project."""
        rows = self._users(project_key, users.c.id == user_id)
        return rows[0] if rows else None

    def page(self, project_key: int, after: int | None, limit: int, order: Order) -> Page:
        """Return a page of the project's users in the order they were first seen."""
        found_users = self._users(
            project_key, beyond(users.c.key, after, order), order=order, limit=limit + 1
        )
        return Page(found_users[:limit], has_more=len(found_users) > limit)

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
            .where(conversations.c.user_key == users.c.key)
            .scalar_subquery()
        )
        turn_count = (
            sa.select(sa.func.count())
            .select_from(turns.join(conversations, conversations.c.key == turns.c.conversation_key))
            .where(conversations.c.user_key == users.c.key)
            .scalar_subquery()
        )
        rows = self._connection.execute(
            sa.select(users, conversation_count.label("conversations"), turn_count.label("turns"))
            .where(users.c.project_key == project_key, condition)
            .order_by(ordered(users.c.key, order))
            .limit(limit)
        )
        return [
            User(
                row.key,
                row.id,
                row.created_at,
                row.last_seen_at,
                row.conversations,
                row.turns,
            )
            for row in rows
        ]


class UserRepository(UserQueries):
    """Writes users."""

    def ensure(self, project_key: int, user_id: str, now: int) -> int:
        """Return the user's key, making the user if it is new."""
        existing = self.key_of(project_key, user_id)
        if existing is not None:
            return existing
        made = self._connection.execute(
            sa.insert(users).values(
                project_key=project_key, id=user_id, created_at=now, last_seen_at=now
            )
        )
        return inserted_key(made)

    def mark_seen(self, user_key: int, now: int) -> None:
        """Record when the user last sent a message."""
        self._connection.execute(_MARK_SEEN, {"user_key": user_key, "now": now})
