"""Conversations: creating, finding, listing and changing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import Conversation, Metadata, Order, Page, Scope, ScopeMember
from memory_service.turn_log.repositories.statements import (
    Statements,
    allocate_keys,
    batches,
    beyond,
    metadata_from_text,
    metadata_to_text,
    ordered,
)
from memory_service.turn_log.schema import conversations, users

_SELECT = sa.select(conversations, users.c.id.label("user")).select_from(
    conversations.outerjoin(users, users.c.key == conversations.c.user_key)
)

# Built once: each request looks up its conversation a few times, and building the statement took
# half of that time.
_BY_ID = _SELECT.where(
    conversations.c.project_key == sa.bindparam("project_key"),
    conversations.c.id == sa.bindparam("conversation_id"),
)

_BY_KEY = _SELECT.where(conversations.c.key == sa.bindparam("conversation_key"))

_INSERT = sa.insert(conversations)

_SET_LANGUAGE = (
    sa.update(conversations)
    .where(conversations.c.key == sa.bindparam("conversation_key"))
    .values(language=sa.bindparam("new_language"))
)


def _record(row: Any) -> Conversation:
    return Conversation(
        key=row.key,
        id=row.id,
        user_key=row.user_key,
        user=row.user,
        title=row.title,
        metadata=metadata_from_text(row.metadata) or {},
        created_at=row.created_at,
        head_key=row.head_key,
        next_seq=row.next_seq,
        language=row.language,
        passages=row.passages,
        terms=row.terms,
        erasures=row.erasures,
        path_changes=row.path_changes,
        summaries=row.summaries,
    )


class ConversationQueries(Statements):
    """Reads conversations, always under their project."""

    def get(self, project_key: int, conversation_id: str) -> Conversation | None:
        """Return a conversation of the project by its id."""
        parameters = {"project_key": project_key, "conversation_id": conversation_id}
        row = self._connection.execute(_BY_ID, parameters).first()
        return None if row is None else _record(row)

    def by_keys(self, project_key: int, keys: Iterable[int]) -> dict[int, Conversation]:
        """Return the project's conversations among the keys."""
        conversations_by_key: dict[int, Conversation] = {}
        for batch in batches(keys):
            rows = self._connection.execute(
                _SELECT.where(
                    conversations.c.project_key == project_key, conversations.c.key.in_(batch)
                )
            )
            conversations_by_key.update((row.key, _record(row)) for row in rows)
        return conversations_by_key

    def by_key(self, conversation_key: int) -> Conversation | None:
        """Return a conversation of any project by its key; for background work."""
        row = self._connection.execute(_BY_KEY, {"conversation_key": conversation_key}).first()
        return None if row is None else _record(row)

    def page(
        self, project_key: int, user_key: int | None, after: int | None, limit: int, order: Order
    ) -> Page:
        """Return a page of conversations by creation; of one user, if given."""
        of_user = sa.true() if user_key is None else conversations.c.user_key == user_key
        rows = self._connection.execute(
            _SELECT.where(
                conversations.c.project_key == project_key,
                of_user,
                beyond(conversations.c.key, after, order),
            )
            .order_by(ordered(conversations.c.key, order))
            .limit(limit + 1)
        ).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    def newest(self, project_key: int, user_key: int, limit: int) -> list[Conversation]:
        """Return the conversations of a user that were last added to, the newest first."""
        rows = self._connection.execute(
            _SELECT.where(
                conversations.c.project_key == project_key,
                conversations.c.user_key == user_key,
                conversations.c.head_key.is_not(None),
            )
            # Keys of turns rise with every append, whatever the conversation.
            .order_by(conversations.c.head_key.desc())
            .limit(limit)
        ).all()
        return [_record(row) for row in rows]

    def all(self, project_key: int, user_key: int | None = None) -> Iterator[Conversation]:
        """Yield the project's conversations, oldest first."""
        after = None
        while True:
            page = self.page(project_key, user_key, after, 500, "asc")
            yield from page.data
            if not page.has_more:
                return
            after = page.data[-1].key

    def scope_of_user(self, project_key: int, user_key: int) -> Scope:
        """Return the scope of all of a user's conversations."""
        rows = self._connection.execute(
            sa.select(
                conversations.c.key,
                conversations.c.language,
                conversations.c.passages,
                conversations.c.terms,
                conversations.c.erasures,
                conversations.c.path_changes,
                conversations.c.next_seq,
            )
            .where(conversations.c.project_key == project_key, conversations.c.user_key == user_key)
            .order_by(conversations.c.key)
        ).all()
        return Scope(project_key, {row.key: ScopeMember(*row[1:]) for row in rows})


class ConversationRepository(ConversationQueries):
    """Creates and changes conversations."""

    def create(
        self,
        project_key: int,
        conversation_id: str,
        *,
        user_key: int | None,
        title: str | None,
        metadata: Metadata,
        created_at: int,
        now: int,
        summaries: bool | None = None,
    ) -> Conversation:
        """Add an empty conversation; its id must be new in the project."""
        key = allocate_keys(self._connection, "conversations", 1)[0]
        self._connection.execute(
            _INSERT,
            {
                "key": key,
                "project_key": project_key,
                "id": conversation_id,
                "user_key": user_key,
                "title": title,
                "metadata": metadata_to_text(metadata),
                "created_at": created_at,
                "stored_at": now,
                "head_key": None,
                "next_seq": 1,
                "language": None,
                "summaries": summaries,
            },
        )
        row = self._connection.execute(_BY_KEY, {"conversation_key": key}).one()
        return _record(row)

    def lock(self, project_key: int, conversation_id: str) -> Conversation | None:
        """Return a conversation; no other transaction changes it until this one ends."""
        row = self._connection.execute(
            _SELECT.where(
                conversations.c.project_key == project_key,
                conversations.c.id == conversation_id,
            ).with_for_update(of=conversations)
        ).first()
        return None if row is None else _record(row)

    def stored_at(self, conversation_key: int) -> int:
        """Return when the conversation was stored; its `created_at` may be set by the caller."""
        return int(
            self._connection.execute(
                sa.select(conversations.c.stored_at).where(conversations.c.key == conversation_key)
            ).scalar_one()
        )

    def set_summaries(self, conversation_key: int, *, wanted: bool | None) -> None:
        """Set whether the conversation is summarised; None leaves that to the settings."""
        self._update(conversation_key, {"summaries": wanted})

    def update(
        self, conversation_key: int, *, metadata: Metadata | None, title: str | None
    ) -> None:
        """Replace the metadata and the title, each if given."""
        values: dict[str, Any] = {}
        if metadata is not None:
            values["metadata"] = metadata_to_text(metadata)
        if title is not None:
            values["title"] = title
        if values:
            self._update(conversation_key, values)

    def set_language(self, conversation_key: int, language: str) -> None:
        """Set the language in which the conversation's terms are made."""
        self._connection.execute(
            _SET_LANGUAGE, {"conversation_key": conversation_key, "new_language": language}
        )

    def _update(self, conversation_key: int, values: dict[str, Any]) -> None:
        self._connection.execute(
            sa.update(conversations).where(conversations.c.key == conversation_key).values(**values)
        )
