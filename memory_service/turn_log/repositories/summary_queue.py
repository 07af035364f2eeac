"""The summary queue: conversations that may have something to summarise."""

from __future__ import annotations

import sqlalchemy as sa

from memory_service.core.models import (
    QueuedConversation,
)
from memory_service.turn_log.repositories.statements import (
    Statements,
)
from memory_service.turn_log.schema import conversations, summary_queue


class SummaryQueueQueries(Statements):
    """Reads the queue."""

    def all(self) -> list[QueuedConversation]:
        """Return the conversations that may have something to summarise."""
        rows = self._connection.execute(
            sa.select(summary_queue).order_by(summary_queue.c.conversation_key)
        )
        return [QueuedConversation(*row) for row in rows]


class SummaryQueueRepository(SummaryQueueQueries):
    """Adds conversations to the queue and removes them."""

    def add(self, conversation_key: int) -> None:
        """Queue a conversation that may have something to summarise, unless it was deleted."""
        changed = self._connection.execute(
            sa.update(summary_queue)
            .where(summary_queue.c.conversation_key == conversation_key)
            .values(requests=summary_queue.c.requests + 1)
        )
        if changed.rowcount == 0:
            existing = sa.select(conversations.c.key, sa.literal(1)).where(
                conversations.c.key == conversation_key
            )
            self._connection.execute(
                sa.insert(summary_queue).from_select(["conversation_key", "requests"], existing)
            )

    def finish(self, done: QueuedConversation) -> None:
        """Remove a conversation from the queue, unless it was queued again since it was read."""
        self._connection.execute(
            sa.delete(summary_queue).where(
                summary_queue.c.conversation_key == done.conversation_key,
                summary_queue.c.requests == done.requests,
            )
        )
