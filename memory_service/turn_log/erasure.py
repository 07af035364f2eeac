"""Forgetting: deleting turns, conversations and users from every table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from memory_service.core.models import Conversation, Turn
from memory_service.turn_log.index_state import IndexWrites
from memory_service.turn_log.schema import (
    conversations,
    idempotency,
    index_queue,
    passages,
    postings,
    summaries,
    turns,
    users,
)
from memory_service.turn_log.statements import batches
from memory_service.turn_log.summaries import SummaryWrites
from memory_service.turn_log.turns import TurnWrites


class ErasureWrites(TurnWrites, IndexWrites, SummaryWrites):
    """Deleting; each method returns how many rows of each kind are gone."""

    def delete_turns(self, conversation: Conversation, doomed: Sequence[Turn]) -> Counter[str]:
        """Delete turns; their children hang on the nearest ancestor left, behind a gap."""
        keys = [turn.key for turn in doomed]
        for turn in sorted(doomed, key=lambda one: -one.seq):
            self._bypass(conversation, turn)
        seqs = [turn.seq for turn in doomed]
        self.add_residue("log")
        counts = self._delete_passages(conversation.key, keys)
        self._path_changed(conversation.key)
        counts["summaries"] = self.delete_summaries(conversation.key, seqs)
        for some in batches(keys):
            counts["turns"] += self._connection.execute(
                sa.delete(turns).where(turns.c.id.in_(some))
            ).rowcount
        counts["idempotency_keys"] = self._connection.execute(
            sa.delete(idempotency).where(
                idempotency.c.conversation_id == conversation.key,
                sa.or_(
                    idempotency.c.first_seq.is_(None),
                    sa.and_(
                        idempotency.c.first_seq <= max(seqs), idempotency.c.last_seq >= min(seqs)
                    ),
                ),
            )
        ).rowcount
        return counts

    def delete_conversation(self, conversation: Conversation) -> Counter[str]:
        """Delete a conversation with everything below it."""
        self.add_residue("log")
        counts = self._forget_vectors(conversation.key)
        for table, name in (
            (postings, "postings"),
            (passages, "passages"),
            (summaries, "summaries"),
            (turns, "turns"),
            (idempotency, "idempotency_keys"),
        ):
            counts[name] = self._connection.execute(
                sa.delete(table).where(table.c.conversation_id == conversation.key)
            ).rowcount
        self._connection.execute(
            sa.delete(index_queue).where(index_queue.c.conversation_id == conversation.key)
        )
        counts["conversations"] = self._connection.execute(
            sa.delete(conversations).where(conversations.c.id == conversation.key)
        ).rowcount
        return counts

    def delete_user(self, user_key: int) -> Counter[str]:
        """Delete a user who has no conversations any more."""
        self.add_residue("log")
        deleted = self._connection.execute(sa.delete(users).where(users.c.id == user_key))
        return Counter({"users": deleted.rowcount})

    def _bypass(self, conversation: Conversation, turn: Turn) -> None:
        """Hang a turn's children on its parent, newest turn first so that chains close up."""
        parent = self._connection.scalar(sa.select(turns.c.parent_id).where(turns.c.id == turn.key))
        self._connection.execute(
            sa.update(turns)
            .where(turns.c.conversation_id == conversation.key, turns.c.parent_id == turn.key)
            .values(parent_id=parent, gap_before=True)
        )
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.id == conversation.key, conversations.c.head_id == turn.key)
            .values(head_id=parent)
        )

    def _delete_passages(self, conversation_key: int, turn_keys: Sequence[int]) -> Counter[str]:
        counts: Counter[str] = Counter()
        keys = [passage.key for passage in self._passage_keys(turn_keys)]
        placement = self.placement(conversation_key)
        if placement is not None:
            # One that is still waiting may be in the index: the service can stop between the two.
            self.queue_deletion(placement.key, keys)
            self.count_vectors(conversation_key, -len(keys))
            self.mark_erased(conversation_key)
            if keys:
                self.add_residue("collection", placement.key)
        for some in batches(keys):
            gone = self._connection.execute(
                sa.select(sa.func.count(), sa.func.sum(passages.c.length)).where(
                    passages.c.id.in_(some)
                )
            ).one()
            self._connection.execute(
                sa.update(conversations)
                .where(conversations.c.id == conversation_key)
                .values(
                    passages=conversations.c.passages - gone[0],
                    terms=conversations.c.terms - int(gone[1] or 0),
                    erasures=conversations.c.erasures + 1,
                )
            )
            # Scanning the conversation's postings is slower than deriving the terms again from
            # the text, and finds them whatever version of the analyser wrote them.
            counts["postings"] += self._connection.execute(
                sa.delete(postings).where(
                    postings.c.conversation_id == conversation_key, postings.c.passage_id.in_(some)
                )
            ).rowcount
            self._connection.execute(
                sa.delete(index_queue).where(
                    index_queue.c.passage_id.in_(some), index_queue.c.action == "upsert"
                )
            )
            counts["passages"] += self._connection.execute(
                sa.delete(passages).where(passages.c.id.in_(some))
            ).rowcount
        return counts

    def _passage_keys(self, turn_keys: Sequence[int]) -> list[sa.Row[tuple[int]]]:
        return [
            row
            for some in batches(turn_keys)
            for row in self._connection.execute(
                sa.select(passages.c.id.label("key")).where(passages.c.turn_id.in_(some))
            )
        ]

    def _forget_vectors(self, conversation_key: int) -> Counter[str]:
        """Queue the vectors of a conversation out of the index, or its whole collection."""
        placement = self.placement(conversation_key)
        if placement is None:
            return Counter()
        self.mark_erased(conversation_key)
        if placement.conversation_key == conversation_key:
            self.queue_drop(placement.key)
            self.add_residue("index")
            return Counter()
        self.add_residue("collection", placement.key)
        keys = self._connection.scalars(
            sa.select(passages.c.id).where(passages.c.conversation_id == conversation_key)
        ).all()
        self.queue_deletion(placement.key, keys)
        self.count_vectors(conversation_key, -len(keys))
        return Counter()
