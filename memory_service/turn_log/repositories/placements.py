"""Placements: which collection holds the vectors of a conversation."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from memory_service.core.models import Collection, Scope
from memory_service.turn_log.repositories.collections import CollectionRepository, ConversationSize
from memory_service.turn_log.repositories.index_queue import IndexQueueRepository
from memory_service.turn_log.repositories.residues import ResidueRepository
from memory_service.turn_log.repositories.statements import Statements, batches
from memory_service.turn_log.schema import (
    collections,
    conversations,
    index_queue,
    passages,
    placements,
)


class PlacementQueries(Statements):
    """Reads placements."""

    def of_scope(self, scope: Scope) -> dict[int, list[int]]:
        """Return the scope's conversations by the collection that holds them."""
        by_collection: dict[int, list[int]] = {}
        for batch in batches(scope.conversation_keys):
            rows = self._connection.execute(
                sa.select(placements).where(placements.c.conversation_key.in_(batch))
            )
            for row in rows:
                by_collection.setdefault(row.collection_key, []).append(row.conversation_key)
        return by_collection

    def of_conversation(self, conversation_key: int) -> Collection | None:
        """Return the collection that a conversation's vectors are in."""
        return self.of_conversations([conversation_key]).get(conversation_key)

    def of_conversations(self, conversation_keys: Iterable[int]) -> dict[int, Collection]:
        """Return the collections of those conversations that are placed."""
        placed = sa.select(placements.c.conversation_key, collections).join(
            collections, placements.c.collection_key == collections.c.key
        )
        return {
            row[0]: Collection(*row[1:])
            for batch in batches(conversation_keys)
            for row in self._connection.execute(
                placed.where(placements.c.conversation_key.in_(batch))
            )
        }

    def conversations_in(self, collection_key: int) -> set[int]:
        """Return the conversations that are placed in a collection."""
        return set(
            self._connection.scalars(
                sa.select(placements.c.conversation_key).where(
                    placements.c.collection_key == collection_key
                )
            )
        )

    def foreign_conversations(self, collection: Collection) -> set[int]:
        """Return conversations placed in a collection of another project or conversation."""
        own = conversations.c.key == collection.conversation_key
        rows = self._connection.scalars(
            sa.select(placements.c.conversation_key)
            .join(conversations, conversations.c.key == placements.c.conversation_key)
            .where(
                placements.c.collection_key == collection.key,
                sa.or_(
                    conversations.c.project_key != collection.project_key,
                    sa.false() if collection.conversation_key is None else ~own,
                ),
            )
        )
        return set(rows)

    def sizes(self, conversation_keys: Iterable[int]) -> dict[int, ConversationSize]:
        """Return owner and size of conversations by key, without deleted conversations."""
        columns = (
            conversations.c.key,
            conversations.c.project_key,
            conversations.c.user_key,
            conversations.c.passages,
        )
        return {
            row[0]: ConversationSize(*row[1:])
            for batch in batches(conversation_keys)
            for row in self._connection.execute(
                sa.select(*columns).where(conversations.c.key.in_(batch))
            )
        }


class PlacementRepository(PlacementQueries):
    """Places conversations, and moves and replaces collections."""

    def place(self, conversation_key: int, collection: Collection, passage_count: int) -> None:
        """Place a conversation, which must not have a collection yet, in a collection."""
        self._connection.execute(
            sa.insert(placements),
            {"conversation_key": conversation_key, "collection_key": collection.key},
        )
        self._collections.count_vectors(conversation_key, passage_count)

    def move(
        self, conversation_key: int, old: Collection, new: Collection, passage_count: int
    ) -> None:
        """Move a conversation: queue its vectors for removal from `old` and addition to `new`."""
        waiting = sa.select(index_queue.c.passage_key).where(
            index_queue.c.conversation_key == conversation_key, index_queue.c.action == "upsert"
        )
        moved = self._connection.scalars(
            sa.select(passages.c.key).where(
                passages.c.conversation_key == conversation_key, passages.c.key.not_in(waiting)
            )
        ).all()
        self._collections.count_vectors(conversation_key, -passage_count)
        self._connection.execute(
            sa.delete(placements).where(placements.c.conversation_key == conversation_key)
        )
        self.place(conversation_key, new, passage_count)
        self._index_queue.add_deletions(old.key, moved)
        self._index_queue.add_upserts((key, conversation_key) for key in moved)
        self._residues.add("collection", old.key, conversation_key, erased=False)

    def replace(self, old: Collection, new_key: int, *, settled: int) -> None:
        """Replace a collection by its filled copy, and queue the old one for removal.

        Residues up to `settled` are not in the copy; newer ones are transferred to it.
        """
        self._connection.execute(
            sa.insert(collections).values(
                key=new_key,
                project_key=old.project_key,
                conversation_key=old.conversation_key,
                vectors=old.vectors,
            )
        )
        for table in (placements, index_queue):
            self._connection.execute(
                sa.update(table)
                .where(table.c.collection_key == old.key)
                .values(collection_key=new_key)
            )
        self._residues.carry(old.key, new_key, settled)
        self.retire(old.key)

    def retire(self, collection_key: int) -> None:
        """Remove a collection in which nothing is placed, and queue its removal from the index."""
        self.remove(collection_key)
        self._index_queue.add_drop(collection_key)

    def remove(self, collection_key: int) -> None:
        """Remove a collection's row: the index has dropped it, or will drop it."""
        self._residues.settle_moves(collection_key)
        self._connection.execute(sa.delete(collections).where(collections.c.key == collection_key))

    @property
    def _collections(self) -> CollectionRepository:
        return CollectionRepository(self._connection)

    @property
    def _index_queue(self) -> IndexQueueRepository:
        return IndexQueueRepository(self._connection)

    @property
    def _residues(self) -> ResidueRepository:
        return ResidueRepository(self._connection)
