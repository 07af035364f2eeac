"""What the vector index holds and owes: its collections, the placements, and the queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa

from memory_service.core.models import Collection, IndexStatus, QueuedPassage, Scope
from memory_service.turn_log.residues import ResidueReads, ResidueWrites
from memory_service.turn_log.schema import (
    collections,
    conversations,
    index_queue,
    passages,
    placements,
)
from memory_service.turn_log.statements import allocate_keys, batches

_OF_USER = (
    sa.select(sa.literal(1))
    .select_from(placements)
    .join(conversations, conversations.c.id == placements.c.conversation_id)
    .where(
        placements.c.collection_id == collections.c.id,
        conversations.c.user_id.is_not_distinct_from(sa.bindparam("user_key")),
    )
    .exists()
)
_WITH_ROOM = (
    sa.select(collections)
    .where(
        collections.c.project_id == sa.bindparam("project_key"),
        collections.c.conversation_id.is_(None),
        collections.c.vectors < sa.bindparam("below"),
    )
    .order_by(_OF_USER.desc(), collections.c.vectors.desc())
    .limit(1)
)


class Home(NamedTuple):
    """Whose a conversation is, and how many passages it has."""

    project_key: int
    user_key: int | None
    passages: int


class Indexed(NamedTuple):
    """What a collection should hold: how many passages, and the keys of some, rising."""

    passages: int
    sample: list[int]


class IndexReads(ResidueReads):
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
        is_pending = self.last_residue() is not None
        return IndexStatus(row[0], row[1], error=row[2], scrub_is_pending=is_pending)

    def lag(self) -> int:
        """Return how many changes the index has not taken in yet: each append says it."""
        return self._connection.scalar(sa.select(sa.func.count()).select_from(index_queue)) or 0

    def queued(
        self, limit: int, only: Literal["embedded", "removals"] | None = None
    ) -> list[QueuedPassage]:
        """Return the oldest changes that are not parked.

        `only` keeps those that need no embedder, or the deletions and drops.
        """
        removes = index_queue.c.action != "upsert"
        has_vector = sa.select(passages.c.id).where(passages.c.vector.is_not(None))
        wanted = {
            None: sa.true(),
            "embedded": sa.or_(removes, index_queue.c.passage_id.in_(has_vector)),
            "removals": removes,
        }[only]
        rows = self._connection.execute(
            sa.select(
                index_queue.c.id,
                index_queue.c.action,
                index_queue.c.passage_id,
                index_queue.c.conversation_id,
                index_queue.c.collection_id,
                index_queue.c.attempts,
            )
            .where(index_queue.c.parked_at.is_(None), wanted)
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
        return self.placements([conversation_key]).get(conversation_key)

    def placements(self, conversation_keys: Iterable[int]) -> dict[int, Collection]:
        """Return the collections that the vectors of conversations are in, of those that have."""
        placed = sa.select(placements.c.conversation_id, collections).join(
            collections, placements.c.collection_id == collections.c.id
        )
        return {
            row[0]: Collection(*row[1:])
            for some in batches(conversation_keys)
            for row in self._connection.execute(
                placed.where(placements.c.conversation_id.in_(some))
            )
        }

    def indexed_keys(self, collection_key: int) -> set[int]:
        """Return the passages that a collection should hold now."""
        return {row[0] for row in self._fetch_plain(self._indexed(collection_key))}

    def _indexed(self, collection_key: int) -> sa.Select[tuple[int]]:
        waiting = (
            sa.select(sa.literal(1))
            .select_from(index_queue)
            .where(index_queue.c.passage_id == passages.c.id, index_queue.c.action == "upsert")
        )
        return (
            sa.select(passages.c.id)
            .join(placements, placements.c.conversation_id == passages.c.conversation_id)
            .where(
                placements.c.collection_id == collection_key,
                passages.c.vector.is_not(None),
                ~waiting.exists(),
            )
        )

    def indexed(self, collection_key: int, sample: int) -> Indexed:
        """Return how many passages a collection should hold now, and about `sample` of them.

        What SQLite counts, Python need not hold: the keys of a million are 100 MB of objects.
        """
        expected = self._indexed(collection_key)
        count, oldest, newest = self._connection.execute(
            expected.with_only_columns(
                sa.func.count(), sa.func.min(passages.c.id), sa.func.max(passages.c.id)
            )
        ).one()
        if not count:
            return Indexed(0, [])
        step = max(1, count // sample)
        between = self._connection.scalars(
            expected.where(passages.c.id % step == 0).limit(2 * sample)
        )
        return Indexed(count, sorted({oldest, newest, *between}))

    def queued_changes(self, collection_key: int) -> int:
        """Return how many passages a collection is still to take in or to forget."""
        waits = (
            sa.select(sa.func.count())
            .select_from(index_queue)
            .outerjoin(placements, placements.c.conversation_id == index_queue.c.conversation_id)
            .where(
                sa.or_(
                    sa.and_(
                        index_queue.c.action == "upsert",
                        placements.c.collection_id == collection_key,
                    ),
                    sa.and_(
                        index_queue.c.action == "delete",
                        index_queue.c.collection_id == collection_key,
                    ),
                )
            )
        )
        return self._connection.scalar(waits) or 0

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

    def conversations_in(self, collection_key: int) -> set[int]:
        """Return the conversations that are placed in a collection."""
        return set(
            self._connection.scalars(
                sa.select(placements.c.conversation_id).where(
                    placements.c.collection_id == collection_key
                )
            )
        )

    def foreign_conversations(self, collection: Collection) -> set[int]:
        """Return conversations placed in a collection of another project, or of another's own."""
        own = conversations.c.id == collection.conversation_key
        rows = self._connection.scalars(
            sa.select(placements.c.conversation_id)
            .join(conversations, conversations.c.id == placements.c.conversation_id)
            .where(
                placements.c.collection_id == collection.key,
                sa.or_(
                    conversations.c.project_id != collection.project_key,
                    sa.false() if collection.conversation_key is None else ~own,
                ),
            )
        )
        return set(rows)

    def placed_passages(self, collection_key: int) -> int:
        """Return how many passages the conversations in a collection have."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count())
                .select_from(passages)
                .join(placements, placements.c.conversation_id == passages.c.conversation_id)
                .where(placements.c.collection_id == collection_key)
            )
            or 0
        )

    def queue_problems(self) -> list[str]:
        """Return what in the queue refers to nothing, and passages that nobody will ever index."""
        queued = sa.select(index_queue.c.passage_id).where(index_queue.c.action == "upsert")
        placed = sa.select(placements.c.conversation_id)
        existing = sa.select(passages.c.id)
        counts = {
            "upserts of passages that do not exist": sa.select(sa.func.count())
            .select_from(index_queue)
            .where(index_queue.c.action == "upsert", index_queue.c.passage_id.not_in(existing)),
            "deletions of passages that still exist where they are placed": sa.select(
                sa.func.count()
            )
            .select_from(index_queue)
            .join(passages, passages.c.id == index_queue.c.passage_id)
            .join(placements, placements.c.conversation_id == passages.c.conversation_id)
            .where(
                index_queue.c.action == "delete",
                index_queue.c.collection_id == placements.c.collection_id,
            ),
            "passages neither placed nor queued": sa.select(sa.func.count())
            .select_from(passages)
            .where(passages.c.conversation_id.not_in(placed), passages.c.id.not_in(queued)),
        }
        found = {said: self._connection.scalar(count) for said, count in counts.items()}
        return [f"{count} {said}" for said, count in found.items() if count]

    def homes(self, conversation_keys: Iterable[int]) -> dict[int, Home]:
        """Return what a conversation's place depends on; those that were deleted are left out."""
        of = (
            conversations.c.id,
            conversations.c.project_id,
            conversations.c.user_id,
            conversations.c.passages,
        )
        return {
            row[0]: Home(*row[1:])
            for some in batches(conversation_keys)
            for row in self._connection.execute(sa.select(*of).where(conversations.c.id.in_(some)))
        }

    def collection_with_room(
        self, project_key: int, user_key: int | None, below: int
    ) -> Collection | None:
        """Return a shared collection of the project that has or awaits fewer than `below` vectors.

        One that holds the user's other conversations comes first, so that a recall over a user
        asks few collections; then the fullest, so that half-empty ones do not pile up.
        """
        row = self._connection.execute(
            _WITH_ROOM, {"project_key": project_key, "user_key": user_key, "below": below}
        ).first()
        return None if row is None else Collection(*row)


class IndexWrites(IndexReads, ResidueWrites):
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

    def place(self, conversation_key: int, collection: Collection, passage_count: int) -> None:
        """Say that the vectors of a conversation without a place are in a collection from now."""
        self._connection.execute(
            sa.insert(placements),
            {"conversation_id": conversation_key, "collection_id": collection.key},
        )
        self.count_vectors(conversation_key, passage_count)

    def move(
        self, conversation_key: int, old: Collection, new: Collection, passage_count: int
    ) -> None:
        """Place a conversation elsewhere: its vectors are queued out of `old` and into `new`."""
        waiting = sa.select(index_queue.c.passage_id).where(
            index_queue.c.conversation_id == conversation_key, index_queue.c.action == "upsert"
        )
        moved = self._connection.scalars(
            sa.select(passages.c.id).where(
                passages.c.conversation_id == conversation_key, passages.c.id.not_in(waiting)
            )
        ).all()
        self.count_vectors(conversation_key, -passage_count)
        self._connection.execute(
            sa.delete(placements).where(placements.c.conversation_id == conversation_key)
        )
        self.place(conversation_key, new, passage_count)
        self.queue_deletion(old.key, moved)
        self.queue_upserts((key, conversation_key) for key in moved)
        self.add_residue("collection", old.key, conversation_key, erased=False)

    def queue_upserts(self, passages_of: Iterable[tuple[int, int]]) -> None:
        """Queue passages to be taken into the index: (passage, conversation) each."""
        self._insert_plain(
            index_queue,
            ("action", "passage_id", "conversation_id", "attempts"),
            [("upsert", key, conversation_key, 0) for key, conversation_key in passages_of],
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

    def unpark(self, *, before: int | None = None) -> int:
        """Give parked changes another chance, or those parked earlier; return how many."""
        parked = index_queue.c.parked_at
        changed = self._connection.execute(
            sa.update(index_queue)
            .where(parked.is_not(None) if before is None else parked < before)
            .values(parked_at=None, attempts=0, error=None)
        )
        return int(changed.rowcount)

    def reserve_collection(self) -> int:
        """Return a key for a collection that is filled before anything is placed in it."""
        return allocate_keys(self._connection, "collections", 1)[0]

    def replace_collection(self, old: Collection, new_key: int, *, settled: int) -> None:
        """Let a filled collection take the place of another, which is queued for removal.

        Residues up to `settled` were not copied; younger ones pass on to the new collection.
        """
        self._connection.execute(
            sa.insert(collections).values(
                id=new_key,
                project_id=old.project_key,
                conversation_id=old.conversation_key,
                vectors=old.vectors,
            )
        )
        for table in (placements, index_queue):
            self._connection.execute(
                sa.update(table)
                .where(table.c.collection_id == old.key)
                .values(collection_id=new_key)
            )
        self._carry_residues(old.key, new_key, settled)
        self.retire_collection(old.key)

    def retire_collection(self, collection_key: int) -> None:
        """Remove a collection in which nothing is placed, and queue it out of the index."""
        self.forget_collection(collection_key)
        self.queue_drop(collection_key)

    def forget_collection(self, collection_key: int) -> None:
        """Remove a collection's row: the index has dropped it, or is to."""
        self._settle_moves(collection_key)
        self._connection.execute(sa.delete(collections).where(collections.c.id == collection_key))

    def requeue(self, collection_key: int, keys: Iterable[int] | None = None) -> int:
        """Queue what a collection should hold, all or some; return how many passages that is."""
        if keys is None:
            return self._requeue_all(collection_key)
        wanted = self.indexed_keys(collection_key) & set(keys)
        for some in batches(sorted(wanted)):
            found = self._connection.execute(
                sa.select(passages.c.id, passages.c.conversation_id).where(passages.c.id.in_(some))
            )
            self.queue_upserts((row.id, row.conversation_id) for row in found)
        return len(wanted)

    def _requeue_all(self, collection_key: int) -> int:
        expected = self._indexed(collection_key).with_only_columns(
            sa.literal("upsert"), passages.c.id, passages.c.conversation_id, sa.literal(0)
        )
        queued = self._connection.execute(
            sa.insert(index_queue).from_select(
                ("action", "passage_id", "conversation_id", "attempts"),
                expected.order_by(passages.c.id),
            )
        )
        return int(queued.rowcount)
