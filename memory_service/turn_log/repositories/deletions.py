"""Deletion of turns, conversations and users from every table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from memory_service.core.models import Conversation, Turn
from memory_service.turn_log.repositories.collections import CollectionRepository
from memory_service.turn_log.repositories.completions import CompletionRepository
from memory_service.turn_log.repositories.index_queue import IndexQueueRepository
from memory_service.turn_log.repositories.media import MediaRepository
from memory_service.turn_log.repositories.placements import PlacementRepository
from memory_service.turn_log.repositories.residues import ResidueRepository
from memory_service.turn_log.repositories.responses import StoredResponse
from memory_service.turn_log.repositories.statements import Statements, batches
from memory_service.turn_log.repositories.summaries import SummaryRepository
from memory_service.turn_log.repositories.turn_writes import TurnRepository
from memory_service.turn_log.schema import (
    conversations,
    idempotency,
    index_queue,
    passages,
    postings,
    responses,
    summaries,
    turns,
    users,
)


class DeletionRepository(Statements):
    """Deletes; each method returns how many rows of each kind it deleted."""

    def delete_turns(self, conversation: Conversation, deleted: Sequence[Turn]) -> Counter[str]:
        """Delete turns; attach their children, after a gap, to the nearest remaining ancestor."""
        keys = [turn.key for turn in deleted]
        media_keys = self._media.keys_of_turns(keys)
        for turn in sorted(deleted, key=lambda turn: -turn.seq):
            self._bypass(conversation, turn)
        seqs = [turn.seq for turn in deleted]
        self._residues.add("log")
        counts = self._delete_passages(conversation.key, keys)
        self._turns.count_path_change(conversation.key)
        counts["summaries"] = self._summaries.delete(conversation.key, seqs)
        for batch in batches(keys):
            counts["turns"] += self._connection.execute(
                sa.delete(turns).where(turns.c.key.in_(batch))
            ).rowcount
        counts += self._delete_media(media_keys)
        # A request sends its whole history, so later completions may hold the texts of these turns.
        since = min(turn.stored_at for turn in deleted)
        counts += self._delete_completions(conversation.key, since)
        counts["idempotency_keys"] = self._connection.execute(
            sa.delete(idempotency).where(
                idempotency.c.conversation_key == conversation.key,
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
        """Delete a conversation with everything that belongs to it."""
        self._residues.add("log")
        counts = self._remove_vectors(conversation.key)
        media_keys = self._media.keys_of_conversation(conversation.key)
        counts += self._delete_completions(conversation.key)
        for table, name in (
            (postings, "postings"),
            (passages, "passages"),
            (summaries, "summaries"),
            (turns, "turns"),
            (idempotency, "idempotency_keys"),
            (responses, "responses"),
        ):
            counts[name] = self._connection.execute(
                sa.delete(table).where(table.c.conversation_key == conversation.key)
            ).rowcount
        counts += self._delete_media(media_keys)
        self._connection.execute(
            sa.delete(index_queue).where(index_queue.c.conversation_key == conversation.key)
        )
        counts["conversations"] = self._connection.execute(
            sa.delete(conversations).where(conversations.c.key == conversation.key)
        ).rowcount
        return counts

    def delete_response(self, project_key: int, response: StoredResponse) -> Counter[str]:
        """Delete a response, but not its turns."""
        self._residues.add("log")
        deleted = self._connection.execute(
            sa.delete(responses).where(
                responses.c.project_key == project_key, responses.c.id == response.id
            )
        )
        return Counter({"responses": deleted.rowcount})

    def delete_user(self, user_key: int) -> Counter[str]:
        """Delete a user who has no conversations left."""
        self._residues.add("log")
        deleted = self._connection.execute(sa.delete(users).where(users.c.key == user_key))
        return Counter({"users": deleted.rowcount})

    def _delete_media(self, keys: Collection[int]) -> Counter[str]:
        """Delete media that no other turn has; a receipt counts them if there are any."""
        return Counter({"media": self._media.delete_unreferenced(keys)}) if keys else Counter()

    def _delete_completions(self, conversation_key: int, stored_since: int = 0) -> Counter[str]:
        """Delete stored completions of a conversation; a receipt counts them if there are any."""
        completions = CompletionRepository(self._connection)
        deleted = completions.delete_of_conversation(conversation_key, stored_since)
        return Counter({"completions": deleted}) if deleted else Counter()

    def delete_completion(self, project_key: int, completion_id: str) -> int:
        """Delete a stored completion; return how many there were."""
        self._residues.add("log")
        return CompletionRepository(self._connection).delete(project_key, completion_id)

    def _bypass(self, conversation: Conversation, turn: Turn) -> None:
        """Attach a turn's children to its parent; of several turns the newest must come first."""
        parent = self._connection.scalar(
            sa.select(turns.c.parent_key).where(turns.c.key == turn.key)
        )
        self._connection.execute(
            sa.update(turns)
            .where(turns.c.conversation_key == conversation.key, turns.c.parent_key == turn.key)
            .values(parent_key=parent, gap_before=True)
        )
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.key == conversation.key, conversations.c.head_key == turn.key)
            .values(head_key=parent)
        )

    def _delete_passages(self, conversation_key: int, turn_keys: Sequence[int]) -> Counter[str]:
        counts: Counter[str] = Counter()
        keys = [passage.key for passage in self._passage_keys(turn_keys)]
        placement = self._placements.of_conversation(conversation_key)
        if placement is not None:
            # A queued passage may be in the index already: the service can stop in between.
            self._index_queue.add_deletions(placement.key, keys)
            self._collections.count_vectors(conversation_key, -len(keys))
            self._residues.mark_erased(conversation_key)
            if keys:
                self._residues.add("collection", placement.key)
        for batch in batches(keys):
            deleted = self._connection.execute(
                sa.select(sa.func.count(), sa.func.sum(passages.c.length)).where(
                    passages.c.key.in_(batch)
                )
            ).one()
            self._connection.execute(
                sa.update(conversations)
                .where(conversations.c.key == conversation_key)
                .values(
                    passages=conversations.c.passages - deleted[0],
                    terms=conversations.c.terms - int(deleted[1] or 0),
                    erasures=conversations.c.erasures + 1,
                )
            )
            # Scanning the conversation's postings is slower than deriving the terms again from
            # the text, but works for postings of any version of the analyser.
            counts["postings"] += self._connection.execute(
                sa.delete(postings).where(
                    postings.c.conversation_key == conversation_key,
                    postings.c.passage_key.in_(batch),
                )
            ).rowcount
            self._connection.execute(
                sa.delete(index_queue).where(
                    index_queue.c.passage_key.in_(batch), index_queue.c.action == "upsert"
                )
            )
            counts["passages"] += self._connection.execute(
                sa.delete(passages).where(passages.c.key.in_(batch))
            ).rowcount
        return counts

    def _passage_keys(self, turn_keys: Sequence[int]) -> list[sa.Row[tuple[int]]]:
        return [
            row
            for batch in batches(turn_keys)
            for row in self._connection.execute(
                sa.select(passages.c.key.label("key")).where(passages.c.turn_key.in_(batch))
            )
        ]

    def _remove_vectors(self, conversation_key: int) -> Counter[str]:
        """Queue a conversation's vectors, or its whole collection, for removal from the index."""
        placement = self._placements.of_conversation(conversation_key)
        if placement is None:
            return Counter()
        self._residues.mark_erased(conversation_key)
        if placement.conversation_key == conversation_key:
            self._index_queue.add_drop(placement.key)
            self._residues.add("index")
            return Counter()
        self._residues.add("collection", placement.key)
        keys = self._connection.scalars(
            sa.select(passages.c.key).where(passages.c.conversation_key == conversation_key)
        ).all()
        self._index_queue.add_deletions(placement.key, keys)
        self._collections.count_vectors(conversation_key, -len(keys))
        return Counter()

    @property
    def _collections(self) -> CollectionRepository:
        return CollectionRepository(self._connection)

    @property
    def _index_queue(self) -> IndexQueueRepository:
        return IndexQueueRepository(self._connection)

    @property
    def _media(self) -> MediaRepository:
        return MediaRepository(self._connection)

    @property
    def _placements(self) -> PlacementRepository:
        return PlacementRepository(self._connection)

    @property
    def _residues(self) -> ResidueRepository:
        return ResidueRepository(self._connection)

    @property
    def _summaries(self) -> SummaryRepository:
        return SummaryRepository(self._connection)

    @property
    def _turns(self) -> TurnRepository:
        return TurnRepository(self._connection)
