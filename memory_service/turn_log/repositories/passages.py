"""Passages with their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import Passage, PassagePlace, Scope, StoredPassage, Vector
from memory_service.turn_log.repositories.collections import CollectionRepository
from memory_service.turn_log.repositories.postings import PostingRepository
from memory_service.turn_log.repositories.statements import (
    Statements,
    allocate_keys,
    batches,
    vector_from_blob,
    vector_to_blob,
)
from memory_service.turn_log.schema import conversations, index_queue, passages

_STORED = sa.select(
    passages.c.key,
    passages.c.turn_key,
    passages.c.conversation_key,
    passages.c.ordinal,
    passages.c.start,
    passages.c.end,
    passages.c.length,
    passages.c.vector,
)
"""In the order of a StoredPassage's fields."""

_PLACES = sa.select(
    passages.c.key,
    passages.c.turn_key,
    passages.c.conversation_key,
    passages.c.start,
    passages.c.end,
)
"""In the order of a PassagePlace's fields."""

_GROW = (
    sa.update(conversations)
    .where(conversations.c.key == sa.bindparam("conversation_key"))
    .values(
        passages=conversations.c.passages + sa.bindparam("more_passages", type_=sa.Integer),
        terms=conversations.c.terms + sa.bindparam("more_terms", type_=sa.Integer),
    )
)


def _stored(row: Sequence[Any]) -> StoredPassage:
    fields = [*row[:-1], vector_from_blob(row[-1])]
    return StoredPassage(*fields)


class PassageQueries(Statements):
    """Reads passages."""

    def by_keys(self, keys: Iterable[int]) -> dict[int, StoredPassage]:
        """Return passages by their keys; the caller checks the project of their turns."""
        return {passage.key: passage for passage in self._passages(passages.c.key, keys)}

    def of_turns(self, turn_keys: Iterable[int]) -> list[StoredPassage]:
        """Return the passages of turns."""
        return self._passages(passages.c.turn_key, turn_keys)

    def places(self, keys: Iterable[int]) -> list[PassagePlace]:
        """Return where passages are, by their keys; those that were deleted are left out."""
        return [PassagePlace(*row) for row in self._fetch_of_keys(_PLACES, passages.c.key, keys)]

    def vector_count(self, conversation_key: int) -> int:
        """Return how many passages of a conversation have a vector."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count())
                .select_from(passages)
                .where(
                    passages.c.conversation_key == conversation_key, passages.c.vector.is_not(None)
                )
            )
            or 0
        )

    def vectors_after(
        self, conversation_key: int, after: int
    ) -> tuple[list[int], list[int], list[bytes]]:
        """Return (passage keys, turn keys, half floats) of passages whose key is above `after`.

        Passages without a vector are left out; keys rise, and so do those of their turns.
        """
        rows = self._connection.execute(
            sa.select(passages.c.key, passages.c.turn_key, passages.c.vector)
            .where(
                passages.c.conversation_key == conversation_key,
                passages.c.key > after,
                passages.c.vector.is_not(None),
            )
            .order_by(passages.c.key)
        ).all()
        return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]

    def unindexed(self, scope: Scope, limit: int) -> list[StoredPassage]:
        """Return passages of the scope that are not in the vector index yet, newest first."""
        waiting: list[StoredPassage] = []
        for batch in batches(scope.conversation_keys):
            rows = self._connection.execute(
                _STORED.join(index_queue, index_queue.c.passage_key == passages.c.key)
                .where(index_queue.c.conversation_key.in_(batch), index_queue.c.action == "upsert")
                .order_by(passages.c.key.desc())
                .limit(limit)
            )
            waiting.extend(map(_stored, rows))
        return waiting[:limit]

    def totals(self, conversation_key: int) -> tuple[int, int]:
        """Return the stored numbers of a conversation's passages and of their terms."""
        row = self._connection.execute(
            sa.select(conversations.c.passages, conversations.c.terms).where(
                conversations.c.key == conversation_key
            )
        ).one()
        return row.passages, row.terms

    def _passages(self, column: sa.Column[int], keys: Iterable[int]) -> list[StoredPassage]:
        return [_stored(row) for row in self._fetch_of_keys(_STORED, column, keys)]


class PassageRepository(PassageQueries):
    """Stores passages, in the transaction that stores their turns."""

    def add(self, conversation_key: int, by_turn: Mapping[int, Sequence[Passage]]) -> list[int]:
        """Store the passages of turns with their postings and queue rows; return their keys."""
        flat = [(turn_key, passage) for turn_key, of_turn in by_turn.items() for passage in of_turn]
        if not flat:
            return []
        keys = allocate_keys(self._connection, "passages", len(flat))
        self._insert_plain(
            passages,
            ("key", "conversation_key", "turn_key", "ordinal", "start", "end", "length", "vector"),
            [
                (
                    key,
                    conversation_key,
                    turn_key,
                    passage.ordinal,
                    passage.start,
                    passage.end,
                    passage.length,
                    vector_to_blob(passage.vector),
                )
                for key, (turn_key, passage) in zip(keys, flat, strict=True)
            ],
        )
        self._postings.add(
            conversation_key,
            (
                (key, passage.tf, passage.length)
                for key, (_, passage) in zip(keys, flat, strict=True)
            ),
        )
        self._connection.execute(
            _GROW,
            {
                "conversation_key": conversation_key,
                "more_passages": len(flat),
                "more_terms": sum(passage.length for _, passage in flat),
            },
        )
        self._collections.count_vectors(conversation_key, len(flat))
        self._insert_plain(
            index_queue,
            ("action", "passage_key", "conversation_key", "attempts"),
            [("upsert", key, conversation_key, 0) for key in keys],
        )
        return list(keys)

    def store_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep vectors that were made after their passages were stored."""
        for key, vector in vectors.items():
            self._connection.execute(
                sa.update(passages)
                .where(passages.c.key == key)
                .values(vector=vector_to_blob(vector))
            )

    @property
    def _collections(self) -> CollectionRepository:
        return CollectionRepository(self._connection)

    @property
    def _postings(self) -> PostingRepository:
        return PostingRepository(self._connection)
