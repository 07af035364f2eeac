"""The index queue: changes that the vector index has not applied yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import sqlalchemy as sa

from memory_service.core.models import (
    IndexStatus,
    QueuedChange,
    QueuedDeletion,
    QueuedDrop,
    QueuedUpsert,
)
from memory_service.turn_log.repositories.collections import CollectionRepository
from memory_service.turn_log.repositories.residues import ResidueQueries
from memory_service.turn_log.repositories.statements import Statements, batches
from memory_service.turn_log.schema import (
    index_queue,
    passages,
    placements,
)


class IndexQueueQueries(Statements):
    """Reads the queue."""

    def status(self) -> IndexStatus:
        """Return how many changes the index has not applied yet, and how many are parked."""
        row = self._connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.count(index_queue.c.parked_at),
                sa.func.max(index_queue.c.error),
            ).select_from(index_queue)
        ).one()
        is_pending = self._residues.newest() is not None
        return IndexStatus(row[0], row[1], error=row[2], erasure_is_pending=is_pending)

    def lag(self) -> int:
        """Return how many changes the index has not applied yet; each append reports it."""
        return self._connection.scalar(sa.select(sa.func.count()).select_from(index_queue)) or 0

    def next(
        self, limit: int, only: Literal["embedded", "removals"] | None = None
    ) -> list[QueuedChange]:
        """Return the oldest changes that are not parked.

        `only` keeps those that need no embedder, or the deletions and drops.
        """
        removes = index_queue.c.action != "upsert"
        has_vector = sa.select(passages.c.key).where(passages.c.vector.is_not(None))
        wanted = {
            None: sa.true(),
            "embedded": sa.or_(removes, index_queue.c.passage_key.in_(has_vector)),
            "removals": removes,
        }[only]
        rows = self._connection.execute(
            sa.select(
                index_queue.c.action,
                index_queue.c.key,
                index_queue.c.attempts,
                index_queue.c.passage_key,
                index_queue.c.conversation_key,
                index_queue.c.collection_key,
            )
            .where(index_queue.c.parked_at.is_(None), wanted)
            .order_by(index_queue.c.key)
            .limit(limit)
        )
        return [_change(*row) for row in rows]

    def change_count(self, collection_key: int) -> int:
        """Return how many additions and deletions of passages are queued for a collection."""
        waits = (
            sa.select(sa.func.count())
            .select_from(index_queue)
            .outerjoin(placements, placements.c.conversation_key == index_queue.c.conversation_key)
            .where(
                sa.or_(
                    sa.and_(
                        index_queue.c.action == "upsert",
                        placements.c.collection_key == collection_key,
                    ),
                    sa.and_(
                        index_queue.c.action == "delete",
                        index_queue.c.collection_key == collection_key,
                    ),
                )
            )
        )
        return self._connection.scalar(waits) or 0

    def deletions(self, collection_key: int) -> set[int]:
        """Return the passages whose deletion from a collection is queued."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.passage_key).where(
                    index_queue.c.collection_key == collection_key, index_queue.c.action == "delete"
                )
            )
        )

    def upserts(self, collection_key: int) -> set[int]:
        """Return the queued passages of the conversations that are placed in a collection."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.passage_key)
                .join(placements, placements.c.conversation_key == index_queue.c.conversation_key)
                .where(
                    placements.c.collection_key == collection_key, index_queue.c.action == "upsert"
                )
            )
        )

    def drops(self) -> set[int]:
        """Return the collections whose removal is queued."""
        return set(
            self._connection.scalars(
                sa.select(index_queue.c.collection_key).where(index_queue.c.action == "drop")
            )
        )

    def problems(self) -> list[str]:
        """Return queue rows that refer to nothing, and passages that will never be indexed."""
        queued = sa.select(index_queue.c.passage_key).where(index_queue.c.action == "upsert")
        placed = sa.select(placements.c.conversation_key)
        existing = sa.select(passages.c.key)
        counts = {
            "upserts of passages that do not exist": sa.select(sa.func.count())
            .select_from(index_queue)
            .where(index_queue.c.action == "upsert", index_queue.c.passage_key.not_in(existing)),
            "deletions of passages that still exist where they are placed": sa.select(
                sa.func.count()
            )
            .select_from(index_queue)
            .join(passages, passages.c.key == index_queue.c.passage_key)
            .join(placements, placements.c.conversation_key == passages.c.conversation_key)
            .where(
                index_queue.c.action == "delete",
                index_queue.c.collection_key == placements.c.collection_key,
            ),
            "passages neither placed nor queued": sa.select(sa.func.count())
            .select_from(passages)
            .where(passages.c.conversation_key.not_in(placed), passages.c.key.not_in(queued)),
        }
        results = {problem: self._connection.scalar(count) for problem, count in counts.items()}
        return [f"{count} {problem}" for problem, count in results.items() if count]

    @property
    def _residues(self) -> ResidueQueries:
        return ResidueQueries(self._connection)


class IndexQueueRepository(IndexQueueQueries):
    """Adds changes to the queue and removes them."""

    def add_upserts(self, passages_of: Iterable[tuple[int, int]]) -> None:
        """Queue passages to be added to the index, given as (passage key, conversation key)."""
        self._insert_plain(
            index_queue,
            ("action", "passage_key", "conversation_key", "attempts"),
            [("upsert", key, conversation_key, 0) for key, conversation_key in passages_of],
        )

    def add_deletions(self, collection_key: int, passage_keys: Iterable[int]) -> None:
        """Queue vectors to be removed from a collection, whether it holds them already or not."""
        self._insert(
            index_queue,
            [
                {
                    "action": "delete",
                    "passage_key": key,
                    "collection_key": collection_key,
                    "attempts": 0,
                }
                for key in passage_keys
            ],
        )

    def add_drop(self, collection_key: int) -> None:
        """Queue the removal of a collection in which nothing is placed."""
        self._insert(
            index_queue, [{"action": "drop", "collection_key": collection_key, "attempts": 0}]
        )

    def finish(self, queue_keys: Sequence[int]) -> None:
        """Remove changes from the queue that the index has made durable."""
        for batch in batches(queue_keys):
            self._connection.execute(sa.delete(index_queue).where(index_queue.c.key.in_(batch)))

    def fail(self, queue_keys: Sequence[int], error: str, *, parked_at: int | None) -> None:
        """Count a failed attempt; a parked change is not tried again until `unpark`."""
        for batch in batches(queue_keys):
            self._connection.execute(
                sa.update(index_queue)
                .where(index_queue.c.key.in_(batch))
                .values(attempts=index_queue.c.attempts + 1, error=error, parked_at=parked_at)
            )

    def unpark(self, *, before: int | None = None) -> int:
        """Unpark all changes, or those parked before a time; return how many."""
        parked = index_queue.c.parked_at
        changed = self._connection.execute(
            sa.update(index_queue)
            .where(parked.is_not(None) if before is None else parked < before)
            .values(parked_at=None, attempts=0, error=None)
        )
        return int(changed.rowcount)

    def requeue(self, collection_key: int, keys: Iterable[int] | None = None) -> int:
        """Queue what a collection should hold, all or only `keys`; return how many passages."""
        if keys is None:
            return self._requeue_all(collection_key)
        wanted = self._collections.expected_keys(collection_key) & set(keys)
        for batch in batches(sorted(wanted)):
            rows = self._connection.execute(
                sa.select(passages.c.key, passages.c.conversation_key).where(
                    passages.c.key.in_(batch)
                )
            )
            self.add_upserts((row.key, row.conversation_key) for row in rows)
        return len(wanted)

    def _requeue_all(self, collection_key: int) -> int:
        expected = self._collections.expected_passages(collection_key).with_only_columns(
            sa.literal("upsert"), passages.c.key, passages.c.conversation_key, sa.literal(0)
        )
        queued = self._connection.execute(
            sa.insert(index_queue).from_select(
                ("action", "passage_key", "conversation_key", "attempts"),
                expected.order_by(passages.c.key),
            )
        )
        return int(queued.rowcount)

    @property
    def _collections(self) -> CollectionRepository:
        return CollectionRepository(self._connection)


def _change(
    action: str,
    queue_key: int,
    attempts: int,
    passage_key: int,
    conversation_key: int,
    collection_key: int,
) -> QueuedChange:
    """Return the change of a row; the columns that its action does not use are null."""
    if action == "upsert":
        return QueuedUpsert(queue_key, attempts, passage_key, conversation_key)
    if action == "delete":
        return QueuedDeletion(queue_key, attempts, passage_key, collection_key)
    return QueuedDrop(queue_key, attempts, collection_key)
