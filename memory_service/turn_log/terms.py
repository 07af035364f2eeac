"""Passages with their vectors, and the postings that words are found by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import numpy as np
import sqlalchemy as sa

from memory_service.core.models import Passage, PassagePlace, Posting, Scope, StoredPassage, Vector
from memory_service.turn_log.schema import conversations, index_queue, passages, postings
from memory_service.turn_log.statements import (
    MAX_PARAMETERS,
    Statements,
    allocate_keys,
    batches,
    vector_from_blob,
    vector_to_blob,
)

_STORED = sa.select(
    passages.c.id,
    passages.c.turn_id,
    passages.c.conversation_id,
    passages.c.ordinal,
    passages.c.start,
    passages.c.end,
    passages.c.length,
    passages.c.vector,
)
"""In the order of a StoredPassage's fields."""


_PLACES = sa.select(
    passages.c.id,
    passages.c.turn_id,
    passages.c.conversation_id,
    passages.c.start,
    passages.c.end,
)
"""In the order of a PassagePlace's fields."""

_GROW = (
    sa.update(conversations)
    .where(conversations.c.id == sa.bindparam("conversation_key"))
    .values(
        passages=conversations.c.passages + sa.bindparam("more_passages", type_=sa.Integer),
        terms=conversations.c.terms + sa.bindparam("more_terms", type_=sa.Integer),
    )
)

_TERMS_COUNTED_AT_ONCE = 16


@cache
def _counting(terms: int) -> sa.TextClause:
    """Return the statement that counts the passages of several terms, each up to a limit.

    One statement, and as text: built anew for each term, it took longer than the counting.
    """
    counts = (
        f"SELECT {number}, count(*) FROM (SELECT 1 FROM postings"  # noqa: S608 - only numbers
        " WHERE conversation_id IN :scope"
        f" AND term = :term{number} LIMIT :most) AS capped{number}"
        for number in range(terms)
    )
    return sa.text(" UNION ALL ".join(counts)).bindparams(sa.bindparam("scope", expanding=True))


class TermReads(Statements):
    """Statistics, postings and vectors of a scope."""

    def document_frequencies(
        self, scope: Scope, terms: Iterable[str], *, at_most: int
    ) -> dict[str, int]:
        """Return in how many passages of the scope each term occurs; counting stops at `at_most`.

        A term in more passages than that weighs next to nothing, and counting them all would
        cost more than the rest of the recall.
        """
        counts: Counter[str] = Counter(dict.fromkeys(terms, 0))
        for asked in batches(counts, _TERMS_COUNTED_AT_ONCE):
            for some in batches(scope.conversation_keys, MAX_PARAMETERS // len(asked)):
                rows = self._connection.execute(
                    _counting(len(asked)),
                    {"scope": some, "most": at_most}
                    | {f"term{number}": term for number, term in enumerate(asked)},
                )
                for number, count in rows:
                    counts[asked[number]] += count
        return {term: min(count, at_most) for term, count in counts.items()}

    def postings(self, scope: Scope, terms: Sequence[str]) -> list[Posting]:
        """Return all postings of the terms in the scope."""
        return [
            posting
            for some in batches(scope.conversation_keys)
            for posting in self._postings(terms, postings.c.conversation_id.in_(some))
        ]

    def postings_of(
        self, terms: Sequence[str], passages: Mapping[int, Iterable[int]]
    ) -> list[Posting]:
        """Return the postings of the terms in some passages, given by conversation."""
        return [
            posting
            for conversation_key, keys in passages.items()
            for some in batches(keys, MAX_PARAMETERS - len(terms))
            for posting in self._postings(
                terms,
                sa.and_(
                    postings.c.conversation_id == conversation_key,
                    postings.c.passage_id.in_(some),
                ),
            )
        ]

    def _postings(self, terms: Sequence[str], where: sa.ColumnElement[bool]) -> list[Posting]:
        # A row a term, its columns as text: Python gives up its lock for each row that it reads,
        # and beside threads that compute waits for it again, thousands of times a query.
        columns = (postings.c.passage_id, postings.c.tf, postings.c.length)
        rows = self._fetch_plain(
            sa.select(
                postings.c.term,
                *(sa.func.aggregate_strings(sa.cast(one, sa.String), ",") for one in columns),
            )
            .where(where, postings.c.term.in_(terms))
            .group_by(postings.c.term)
            .order_by(postings.c.term)
        )
        return [
            Posting(term, *(np.fromstring(column, dtype=np.int64, sep=",") for column in texts))
            for term, *texts in rows
        ]

    def passages_by_key(self, keys: Iterable[int]) -> dict[int, StoredPassage]:
        """Return passages by their keys; the caller checks whose they are by their turns."""
        return {passage.key: passage for passage in self._passages(passages.c.id, keys)}

    def passages_of_turns(self, turn_keys: Iterable[int]) -> list[StoredPassage]:
        """Return the passages of turns."""
        return self._passages(passages.c.turn_id, turn_keys)

    def passage_places(self, keys: Iterable[int]) -> list[PassagePlace]:
        """Return where passages are, by their keys; those that were deleted are left out."""
        return [PassagePlace(*row) for row in self._fetch_of_keys(_PLACES, passages.c.id, keys)]

    def vector_count(self, conversation_key: int) -> int:
        """Return how many passages of a conversation have a vector."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count())
                .select_from(passages)
                .where(
                    passages.c.conversation_id == conversation_key, passages.c.vector.is_not(None)
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
            sa.select(passages.c.id, passages.c.turn_id, passages.c.vector)
            .where(
                passages.c.conversation_id == conversation_key,
                passages.c.id > after,
                passages.c.vector.is_not(None),
            )
            .order_by(passages.c.id)
        ).all()
        return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]

    def unindexed_passages(self, scope: Scope, limit: int) -> list[StoredPassage]:
        """Return passages of the scope that are not in the vector index yet, newest first."""
        found: list[StoredPassage] = []
        for some in batches(scope.conversation_keys):
            rows = self._connection.execute(
                _STORED.join(index_queue, index_queue.c.passage_id == passages.c.id)
                .where(index_queue.c.conversation_id.in_(some), index_queue.c.action == "upsert")
                .order_by(passages.c.id.desc())
                .limit(limit)
            )
            found.extend(map(_stored, rows))
        return found[:limit]

    def passage_totals(self, conversation_key: int) -> tuple[int, int]:
        """Return the number of a conversation's passages and of their terms, as it is kept."""
        row = self._connection.execute(
            sa.select(conversations.c.passages, conversations.c.terms).where(
                conversations.c.id == conversation_key
            )
        ).one()
        return row.passages, row.terms

    def term_counts(self, conversation_key: int) -> dict[int, dict[str, int]]:
        """Return the terms of each passage of a conversation, for `verify`."""
        found: dict[int, dict[str, int]] = {}
        rows = self._connection.execute(
            sa.select(postings.c.passage_id, postings.c.term, postings.c.tf).where(
                postings.c.conversation_id == conversation_key
            )
        )
        for row in rows:
            found.setdefault(row.passage_id, {})[row.term] = row.tf
        return found

    def _passages(self, column: sa.Column[int], keys: Iterable[int]) -> list[StoredPassage]:
        return [_stored(row) for row in self._fetch_of_keys(_STORED, column, keys)]


class TermWrites(TermReads):
    """Filling passages and postings, in the transaction that stores their turns."""

    def add_passages(
        self, conversation_key: int, by_turn: Mapping[int, Sequence[Passage]]
    ) -> list[int]:
        """Store the passages of turns with their postings and queue rows; return their keys."""
        flat = [(turn_key, passage) for turn_key, some in by_turn.items() for passage in some]
        if not flat:
            return []
        keys = allocate_keys(self._connection, "passages", len(flat))
        self._insert_plain(
            passages,
            ("id", "conversation_id", "turn_id", "ordinal", "start", "end", "length", "vector"),
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
        self._add_postings(
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
        self.count_vectors(conversation_key, len(flat))
        self._insert_plain(
            index_queue,
            ("action", "passage_id", "conversation_id", "attempts"),
            [("upsert", key, conversation_key, 0) for key in keys],
        )
        return list(keys)

    def store_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep vectors that were made after their passages were stored."""
        for key, vector in vectors.items():
            self._connection.execute(
                sa.update(passages)
                .where(passages.c.id == key)
                .values(vector=vector_to_blob(vector))
            )

    def replace_terms(self, conversation_key: int, terms: Mapping[int, Sequence[str]]) -> None:
        """Make the postings of all the conversation's passages anew."""
        self._connection.execute(
            sa.delete(postings).where(postings.c.conversation_id == conversation_key)
        )
        for key, found in terms.items():
            self._connection.execute(
                sa.update(passages).where(passages.c.id == key).values(length=len(found))
            )
        self._add_postings(
            conversation_key, ((key, Counter(found), len(found)) for key, found in terms.items())
        )
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.id == conversation_key)
            .values(passages=len(terms), terms=sum(map(len, terms.values())))
        )

    def _add_postings(
        self, conversation_key: int, counted: Iterable[tuple[int, Mapping[str, int], int]]
    ) -> None:
        """Store postings: of each passage its key, its terms with their counts, its length."""
        rows = [
            (conversation_key, term, key, tf, length)
            for key, terms, length in counted
            for term, tf in terms.items()
        ]
        # In the order of the clustered key a batch touches each page once. Passages come by rising
        # keys and stay so; to compare whole rows takes three times as long.
        rows.sort(key=itemgetter(1))
        self._insert_plain(
            postings, ("conversation_id", "term", "passage_id", "tf", "length"), rows
        )


def _stored(row: Sequence[Any]) -> StoredPassage:
    fields = [*row[:-1], vector_from_blob(row[-1])]
    return StoredPassage(*fields)
