"""Postings: which passage holds which term, and the statistics of a scope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter

import numpy as np
import sqlalchemy as sa

from memory_service.core.models import Posting, Scope
from memory_service.turn_log.repositories.statements import (
    MAX_PARAMETERS,
    Statements,
    batches,
)
from memory_service.turn_log.schema import conversations, passages, postings

_TERMS_COUNTED_AT_ONCE = 16


@cache
def _counting(terms: int) -> sa.TextClause:
    """Return the statement that counts the passages of several terms, each up to a limit.

    One statement, and as text: built again for each term, it took longer than the counting.
    """
    counts = (
        f"SELECT {number}, count(*) FROM (SELECT 1 FROM postings"  # noqa: S608 - only numbers
        " WHERE conversation_key IN :scope"
        f" AND term = :term{number} LIMIT :most) AS capped{number}"
        for number in range(terms)
    )
    return sa.text(" UNION ALL ".join(counts)).bindparams(sa.bindparam("scope", expanding=True))


class PostingQueries(Statements):
    """Reads postings and document frequencies."""

    def document_frequencies(
        self, scope: Scope, terms: Iterable[str], *, at_most: int
    ) -> dict[str, int]:
        """Return in how many passages of the scope each term occurs; counting stops at `at_most`.

        A term in more passages than that has a weight near zero, and counting all of them would
        cost more than the rest of the recall.
        """
        counts: Counter[str] = Counter(dict.fromkeys(terms, 0))
        for counted in batches(counts, _TERMS_COUNTED_AT_ONCE):
            for batch in batches(scope.conversation_keys, MAX_PARAMETERS // len(counted)):
                rows = self._connection.execute(
                    _counting(len(counted)),
                    {"scope": batch, "most": at_most}
                    | {f"term{number}": term for number, term in enumerate(counted)},
                )
                for number, count in rows:
                    counts[counted[number]] += count
        return {term: min(count, at_most) for term, count in counts.items()}

    def in_scope(self, scope: Scope, terms: Sequence[str]) -> list[Posting]:
        """Return all postings of the terms in the scope."""
        return [
            posting
            for batch in batches(scope.conversation_keys)
            for posting in self._postings(terms, postings.c.conversation_key.in_(batch))
        ]

    def in_passages(
        self, terms: Sequence[str], passages: Mapping[int, Iterable[int]]
    ) -> list[Posting]:
        """Return the postings of the terms in the given passages, by conversation key."""
        return [
            posting
            for conversation_key, keys in passages.items()
            for batch in batches(keys, MAX_PARAMETERS - len(terms))
            for posting in self._postings(
                terms,
                sa.and_(
                    postings.c.conversation_key == conversation_key,
                    postings.c.passage_key.in_(batch),
                ),
            )
        ]

    def _postings(self, terms: Sequence[str], where: sa.ColumnElement[bool]) -> list[Posting]:
        # One row per term, its columns as text: Python releases its lock for each row that it reads
        # and, while other threads compute, waits for it again, thousands of times a query.
        columns = (postings.c.passage_key, postings.c.tf, postings.c.length)
        rows = self._fetch_plain(
            sa.select(
                postings.c.term,
                *(sa.func.aggregate_strings(sa.cast(column, sa.String), ",") for column in columns),
            )
            .where(where, postings.c.term.in_(terms))
            .group_by(postings.c.term)
            .order_by(postings.c.term)
        )
        return [
            Posting(term, *(np.fromstring(column, dtype=np.int64, sep=",") for column in texts))
            for term, *texts in rows
        ]

    def term_counts(self, conversation_key: int) -> dict[int, dict[str, int]]:
        """Return the terms of each passage of a conversation, for `verify`."""
        counts: dict[int, dict[str, int]] = {}
        rows = self._connection.execute(
            sa.select(postings.c.passage_key, postings.c.term, postings.c.tf).where(
                postings.c.conversation_key == conversation_key
            )
        )
        for row in rows:
            counts.setdefault(row.passage_key, {})[row.term] = row.tf
        return counts


class PostingRepository(PostingQueries):
    """Writes postings."""

    def replace(self, conversation_key: int, terms: Mapping[int, Sequence[str]]) -> None:
        """Replace the postings of all the conversation's passages."""
        self._connection.execute(
            sa.delete(postings).where(postings.c.conversation_key == conversation_key)
        )
        for key, passage_terms in terms.items():
            self._connection.execute(
                sa.update(passages).where(passages.c.key == key).values(length=len(passage_terms))
            )
        self.add(
            conversation_key,
            (
                (key, Counter(passage_terms), len(passage_terms))
                for key, passage_terms in terms.items()
            ),
        )
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.key == conversation_key)
            .values(passages=len(terms), terms=sum(map(len, terms.values())))
        )

    def add(
        self, conversation_key: int, counted: Iterable[tuple[int, Mapping[str, int], int]]
    ) -> None:
        """Store postings: of each passage its key, its terms with their counts, its length."""
        rows = [
            (conversation_key, term, key, tf, length)
            for key, terms, length in counted
            for term, tf in terms.items()
        ]
        # In the order of the clustered key a batch touches each page once. Passages come by rising
        # keys, which a stable sort keeps; comparing whole rows takes three times as long.
        rows.sort(key=itemgetter(1))
        self._insert_plain(
            postings, ("conversation_key", "term", "passage_key", "tf", "length"), rows
        )
