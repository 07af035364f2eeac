"""Collections of the vector index, and the passages that each should hold."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from memory_service.core.models import Collection
from memory_service.turn_log.repositories.statements import Statements, allocate_keys
from memory_service.turn_log.schema import (
    collections,
    conversations,
    index_queue,
    passages,
    placements,
)

_OF_USER = (
    sa.select(sa.literal(1))
    .select_from(placements)
    .join(conversations, conversations.c.key == placements.c.conversation_key)
    .where(
        placements.c.collection_key == collections.c.key,
        conversations.c.user_key.is_not_distinct_from(sa.bindparam("user_key")),
    )
    .exists()
)

_WITH_ROOM = (
    sa.select(collections)
    .where(
        collections.c.project_key == sa.bindparam("project_key"),
        collections.c.conversation_key.is_(None),
        collections.c.vectors < sa.bindparam("below"),
    )
    .order_by(_OF_USER.desc(), collections.c.vectors.desc())
    .limit(1)
)


class ConversationSize(NamedTuple):
    """The project and the user of a conversation, and the number of its passages."""

    project_key: int
    user_key: int | None
    passages: int


class Indexed(NamedTuple):
    """What a collection should hold: the number of passages, and the keys of a sample, rising."""

    passages: int
    sample: list[int]


_COUNT_VECTORS = (
    sa.update(collections)
    .where(
        collections.c.key
        == sa.select(placements.c.collection_key)
        .where(placements.c.conversation_key == sa.bindparam("placed_conversation"))
        .scalar_subquery()
    )
    .values(vectors=collections.c.vectors + sa.bindparam("change", type_=sa.BigInteger))
)


class CollectionQueries(Statements):
    """Reads collections."""

    def get(self, key: int) -> Collection | None:
        """Return a collection by its key."""
        row = self._connection.execute(
            sa.select(collections).where(collections.c.key == key)
        ).first()
        return None if row is None else Collection(*row)

    def all(self) -> list[Collection]:
        """Return all collections."""
        rows = self._connection.execute(sa.select(collections).order_by(collections.c.key))
        return [Collection(*row) for row in rows]

    def expected_keys(self, collection_key: int) -> set[int]:
        """Return the passages that a collection should hold now."""
        return {row[0] for row in self._fetch_plain(self.expected_passages(collection_key))}

    def expected_passages(self, collection_key: int) -> sa.Select[tuple[int]]:
        """Return the query for the passages that a collection should hold now."""
        waiting = (
            sa.select(sa.literal(1))
            .select_from(index_queue)
            .where(index_queue.c.passage_key == passages.c.key, index_queue.c.action == "upsert")
        )
        return (
            sa.select(passages.c.key)
            .join(placements, placements.c.conversation_key == passages.c.conversation_key)
            .where(
                placements.c.collection_key == collection_key,
                passages.c.vector.is_not(None),
                ~waiting.exists(),
            )
        )

    def expected(self, collection_key: int, sample: int) -> Indexed:
        """Return how many passages a collection should hold now, and about `sample` of them.

        SQLite counts them: the keys of a million passages are 100 MB of Python objects.
        """
        expected = self.expected_passages(collection_key)
        count, oldest, newest = self._connection.execute(
            expected.with_only_columns(
                sa.func.count(), sa.func.min(passages.c.key), sa.func.max(passages.c.key)
            )
        ).one()
        if not count:
            return Indexed(0, [])
        step = max(1, count // sample)
        between = self._connection.scalars(
            expected.where(passages.c.key % step == 0).limit(2 * sample)
        )
        return Indexed(count, sorted({oldest, newest, *between}))

    def passage_count(self, collection_key: int) -> int:
        """Return how many passages the conversations in a collection have."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count())
                .select_from(passages)
                .join(placements, placements.c.conversation_key == passages.c.conversation_key)
                .where(placements.c.collection_key == collection_key)
            )
            or 0
        )

    def with_room(self, project_key: int, user_key: int | None, below: int) -> Collection | None:
        """Return a shared collection of the project that has or awaits fewer than `below` vectors.

        One that holds the user's other conversations comes first, so that a recall over a user
        asks few collections; then the fullest, so that few stay half empty.
        """
        row = self._connection.execute(
            _WITH_ROOM, {"project_key": project_key, "user_key": user_key, "below": below}
        ).first()
        return None if row is None else Collection(*row)


class CollectionRepository(CollectionQueries):
    """Creates collections and counts their vectors."""

    def create(self, project_key: int, conversation_key: int | None) -> Collection:
        """Add a collection: shared, or of one conversation."""
        key = allocate_keys(self._connection, "collections", 1)[0]
        self._connection.execute(
            sa.insert(collections).values(
                key=key, project_key=project_key, conversation_key=conversation_key, vectors=0
            )
        )
        return Collection(key, project_key, conversation_key, 0)

    def reserve(self) -> int:
        """Return a key for a collection that is filled before anything is placed in it."""
        return allocate_keys(self._connection, "collections", 1)[0]

    def count_vectors(self, conversation_key: int, change: int) -> None:
        """Count passages that a conversation gained or lost, if it is placed.

        The count of a collection includes passages that are queued but not indexed yet.
        """
        self._connection.execute(
            _COUNT_VECTORS, {"placed_conversation": conversation_key, "change": change}
        )
