"""What the vector index holds and owes: its collections, the placements, and the queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from memory_service.records import Collection, IndexStatus, QueuedPassage, Scope
from memory_service.turn_log.schema import (
    collections,
    conversations,
    index_queue,
    passages,
    placements,
)
from memory_service.turn_log.statements import Statements, allocate_keys, batches


class IndexReads(Statements):
    """Where vectors are, and which are still to come."""

    def index_status(self) -> IndexStatus:
        """Return how many changes the index has not taken in yet, and how many are parked."""
        row = self._connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.count(index_queue.c.parked_at),
                sa.func.max(index_queue.c.error),
            ).select_from(index_queue)
        ).one()
        return IndexStatus(lag=row[0], parked=row[1], error=row[2])

    def lag(self) -> int:
        """Return how many changes the index has not taken in yet: each append says it."""
        return self._connection.scalar(sa.select(sa.func.count()).select_from(index_queue)) or 0

    def queued(self, limit: int) -> list[QueuedPassage]:
        """Return the oldest changes that are not parked."""
        rows = self._connection.execute(
            sa.select(
                index_queue.c.id,
                index_queue.c.action,
                index_queue.c.passage_id,
                index_queue.c.conversation_id,
                index_queue.c.collection_id,
                index_queue.c.attempts,
            )
            .where(index_queue.c.parked_at.is_(None))
            .order_by(index_queue.c.id)
            .limit(limit)
        )
        return [QueuedPassage(*row) for row in rows]

    def collections_of(self, scope: Scope) -> dict[int, list[int]]:
        """Return the scope's conversations by the collection that holds them."""
        found: dict[int, list[int]] = {}
        for some in batches(scope.conversation_keys):
            rows = self._connection.execute(
                sa.select(placements).where(placements.c.conversation_id.in_(some))
            )
            for row in rows:
                found.setdefault(row.collection_id, []).append(row.conversation_id)
        return found

    def collection(self, key: int) -> Collection | None:
        """Return a collection by its key."""
        row = self._connection.execute(
            sa.select(collections).where(collections.c.id == key)
        ).first()
        return None if row is None else Collection(*row)

    def all_collections(self) -> list[Collection]:
        """Return all collections."""
        rows = self._connection.execute(sa.select(collections).order_by(collections.c.id))
        return [Collection(*row) for row in rows]

    def placement(self, conversation_key: int) -> Collection | None:
        """Return the collection that a conversation's vectors are in."""
        row = self._connection.execute(
            sa.select(collections)
            .join(placements, placements.c.collection_id == collections.c.id)
            .where(placements.c.conversation_id == conversation_key)
        ).first()
        return None if row is None else Collection(*row)

    def indexed_keys(self, collection_key: int) -> set[int]:
        """Return the passages that a collection should hold now."""
        waiting = (
            sa.select(sa.literal(1))
            .select_from(index_queue)
            .where(index_queue.c.passage_id == passages.c.id, index_queue.c.action == "upsert")
        )
        rows = self._connection.execute(
            sa.select(passages.c.id)
            .join(placements, placements.c.conversation_id == passages.c.conversation_id)
            .where(placements.c.collection_id == collection_key, ~waiting.exists())
        )
        return {row.id for row in rows}

    def queued_deletions(self, collection_key: int) -> set[int]:
        """Return the passages that a collection is still to forget."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.passage_id).where(
                    index_queue.c.collection_id == collection_key, index_queue.c.action == "delete"
                )
            )
        )

    def queued_upserts(self, collection_key: int) -> set[int]:
        """Return the passages that a collection is still to take in, as far as it is known."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.passage_id)
                .join(placements, placements.c.conversation_id == index_queue.c.conversation_id)
                .where(
                    placements.c.collection_id == collection_key, index_queue.c.action == "upsert"
                )
            )
        )

    def queued_drops(self) -> set[int]:
        """Return the collections that are still to be dropped."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.collection_id).where(index_queue.c.action == "drop")
            )
        )

    def passage_count(self, conversation_key: int) -> int:
        """Return how many passages a conversation has."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count())
                .select_from(passages)
                .where(passages.c.conversation_id == conversation_key)
            )
            or 0
        )

    def project_of_conversation(self, conversation_key: int) -> tuple[int, int | None] | None:
        """Return (project, user) of a conversation, or None if it was deleted."""
        row = self._connection.execute(
            sa.select(conversations.c.project_id, conversations.c.user_id).where(
                conversations.c.id == conversation_key
            )
        ).first()
        return None if row is None else (row.project_id, row.user_id)

    def collection_with_room(
        self, project_key: int, user_key: int | None, below: int
    ) -> Collection | None:
        """Return a shared collection of the project that has or awaits fewer than `below` vectors.

        One that holds the user's other conversations comes first, so that a recall over a user
        asks few collections; then the fullest, so that half-empty ones do not pile up.
        """
        of_user = (
            sa.select(sa.literal(1))
            .select_from(placements)
            .join(conversations, conversations.c.id == placements.c.conversation_id)
            .where(
                placements.c.collection_id == collections.c.id, conversations.c.user_id == user_key
            )
            .exists()
        )
        row = self._connection.execute(
            sa.select(collections)
            .where(
                collections.c.project_id == project_key,
                collections.c.conversation_id.is_(None),
                collections.c.vectors < below,
            )
            .order_by(of_user.desc(), collections.c.vectors.desc())
            .limit(1)
        ).first()
        return None if row is None else Collection(*row)


class IndexWrites(IndexReads):
    """Placing conversations and working the queue off."""

    def create_collection(self, project_key: int, conversation_key: int | None) -> Collection:
        """Add a collection: shared, or of one conversation."""
        key = allocate_keys(self._connection, "collections", 1)[0]
        self._connection.execute(
            sa.insert(collections).values(
                id=key, project_id=project_key, conversation_id=conversation_key, vectors=0
            )
        )
        return Collection(key, project_key, conversation_key, 0)

    def place(self, conversation_key: int, collection_key: int) -> None:
        """Say that a conversation's vectors are in the collection from now on."""
        count = self.passage_count(conversation_key)
        self.count_vectors(conversation_key, -count)
        self._connection.execute(
            sa.delete(placements).where(placements.c.conversation_id == conversation_key)
        )
        self._connection.execute(
            sa.insert(placements).values(
                conversation_id=conversation_key, collection_id=collection_key
            )
        )
        self.count_vectors(conversation_key, count)

    def move(self, conversation_key: int, old: Collection, new: Collection) -> None:
        """Place a conversation elsewhere: its vectors are queued out of `old` and into `new`."""
        waiting = sa.select(index_queue.c.passage_id).where(
            index_queue.c.conversation_id == conversation_key, index_queue.c.action == "upsert"
        )
        moved = self._connection.scalars(
            sa.select(passages.c.id).where(
                passages.c.conversation_id == conversation_key, passages.c.id.not_in(waiting)
            )
        ).all()
        self.place(conversation_key, new.key)
        self.queue_deletion(old.key, moved)
        self._insert(
            index_queue,
            [
                {
                    "action": "upsert",
                    "passage_id": key,
                    "conversation_id": conversation_key,
                    "attempts": 0,
                }
                for key in moved
            ],
        )

    def queue_deletion(self, collection_key: int, passage_keys: Iterable[int]) -> None:
        """Queue vectors to be taken out of a collection, whether it has taken them in or not."""
        self._insert(
            index_queue,
            [
                {
                    "action": "delete",
                    "passage_id": key,
                    "collection_id": collection_key,
                    "attempts": 0,
                }
                for key in passage_keys
            ],
        )

    def queue_drop(self, collection_key: int) -> None:
        """Queue a collection that nothing is placed in any more for removal."""
        self._insert(
            index_queue, [{"action": "drop", "collection_id": collection_key, "attempts": 0}]
        )

    def finish(self, queue_keys: Sequence[int]) -> None:
        """Take changes that the index has made durable off the queue."""
        for some in batches(queue_keys):
            self._connection.execute(sa.delete(index_queue).where(index_queue.c.id.in_(some)))

    def fail(self, queue_keys: Sequence[int], error: str, *, parked_at: int | None) -> None:
        """Count a failed attempt; a parked change is not tried again until `unpark`."""
        for some in batches(queue_keys):
            self._connection.execute(
                sa.update(index_queue)
                .where(index_queue.c.id.in_(some))
                .values(attempts=index_queue.c.attempts + 1, error=error, parked_at=parked_at)
            )

    def unpark(self) -> int:
        """Give parked changes another chance; return how many there were."""
        changed = self._connection.execute(
            sa.update(index_queue)
            .where(index_queue.c.parked_at.is_not(None))
            .values(parked_at=None, attempts=0, error=None)
        )
        return int(changed.rowcount)

    def forget_collection(self, collection_key: int) -> None:
        """Remove a collection's row once the index has dropped it."""
        self._connection.execute(sa.delete(collections).where(collections.c.id == collection_key))

    def requeue(self, collection_key: int) -> int:
        """Queue everything that a collection should hold; return how many passages that is."""
        keys = sorted(self.indexed_keys(collection_key))
        rows = []
        for some in batches(keys):
            found = self._connection.execute(
                sa.select(passages.c.id, passages.c.conversation_id).where(passages.c.id.in_(some))
            )
            rows += [
                {
                    "action": "upsert",
                    "passage_id": row.id,
                    "conversation_id": row.conversation_id,
                    "attempts": 0,
                }
                for row in found
            ]
        self._insert(index_queue, rows)
        return len(rows)
