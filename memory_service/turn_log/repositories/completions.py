"""Stored completions: chat completions that callers have asked to store, with their messages.

They belong to the conversation of their request, if it has one, and are deleted with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import Metadata, Order, Page, StoredCompletion
from memory_service.items.strict_json import dumps, escaped_surrogates
from memory_service.turn_log.repositories.statements import (
    Statements,
    beyond,
    metadata_to_text,
    ordered,
)
from memory_service.turn_log.schema import completions, conversations, users


class CompletionQueries(Statements):
    """Reads stored completions."""

    def get(self, project_key: int, completion_id: str) -> StoredCompletion | None:
        """Return a completion of the project."""
        row = self._connection.execute(
            sa.select(completions).where(
                completions.c.project_key == project_key, completions.c.id == completion_id
            )
        ).first()
        return None if row is None else _record(row)

    def page(
        self,
        project_key: int,
        after_key: int | None,
        limit: int,
        order: Order,
        *,
        user: str | None = None,
        model: str | None = None,
        metadata: Metadata | None = None,
    ) -> Page:
        """Return a page of completions: of a user, of a model, and with these metadata."""
        found = []
        for completion in self._all(project_key, after_key, order, user, model):
            if (metadata or {}).items() <= completion.metadata.items():
                found.append(completion)
            if len(found) > limit:
                break
        return Page(found[:limit], has_more=len(found) > limit)

    def _all(
        self,
        project_key: int,
        after_key: int | None,
        order: Order,
        user: str | None,
        model: str | None,
    ) -> Iterator[StoredCompletion]:
        """Yield the completions in the order in which they were stored."""
        of_model = sa.true() if model is None else completions.c.model == model
        of_user = sa.true() if user is None else completions.c.conversation_key.in_(_of_user(user))
        rows = self._connection.execute(
            sa.select(completions)
            .where(
                completions.c.project_key == project_key,
                of_user,
                beyond(completions.c.key, after_key, order),
                of_model,
            )
            .order_by(ordered(completions.c.key, order))
        )
        yield from map(_record, rows)


class CompletionRepository(CompletionQueries):
    """Stores completions."""

    def add(
        self,
        project_key: int,
        conversation_key: int | None,
        completion: Mapping[str, Any],
        messages: str,
        metadata: Metadata,
        now: int,
    ) -> None:
        """Store a completion; it replaces one with the same id, which some servers draw by lot."""
        completion_id = str(completion["id"])
        self.delete(project_key, completion_id)
        self._insert(
            completions,
            [
                {
                    "project_key": project_key,
                    "conversation_key": conversation_key,
                    "id": completion_id,
                    "model": completion.get("model"),
                    "metadata": metadata_to_text(metadata),
                    "completion": escaped_surrogates(dumps(dict(completion))),
                    "messages": messages,
                    "stored_at": now,
                }
            ],
        )

    def set_metadata(self, project_key: int, completion_id: str, metadata: Metadata) -> None:
        """Replace the metadata of a completion."""
        self._connection.execute(
            sa.update(completions)
            .where(completions.c.project_key == project_key, completions.c.id == completion_id)
            .values(metadata=metadata_to_text(metadata))
        )

    def delete(self, project_key: int, completion_id: str) -> int:
        """Delete a completion; return how many there were."""
        return self._connection.execute(
            sa.delete(completions).where(
                completions.c.project_key == project_key, completions.c.id == completion_id
            )
        ).rowcount

    def delete_of_conversation(self, conversation_key: int, stored_since: int = 0) -> int:
        """Delete the completions of a conversation from a time on; return how many."""
        return self._connection.execute(
            sa.delete(completions).where(
                completions.c.conversation_key == conversation_key,
                completions.c.stored_at >= stored_since,
            )
        ).rowcount


def _of_user(user: str) -> sa.Select[tuple[int]]:
    """Return the conversations of a user, of any project."""
    return (
        sa.select(conversations.c.key)
        .join(users, users.c.key == conversations.c.user_key)
        .where(users.c.id == user)
    )


def _record(row: Any) -> StoredCompletion:
    return StoredCompletion(
        key=row.key,
        id=row.id,
        metadata=json.loads(row.metadata),
        completion=json.loads(row.completion),
        messages=json.loads(row.messages),
        conversation_key=row.conversation_key,
    )
