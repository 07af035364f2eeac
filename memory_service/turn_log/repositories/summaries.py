"""Summaries: what a model wrote of turns, or of summaries of a lower level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from memory_service.core.models import (
    NewSummary,
    Order,
    Page,
    Scope,
    Summary,
    SummaryRange,
    Vector,
)
from memory_service.items.fields import new_id
from memory_service.turn_log.repositories.statements import (
    Statements,
    allocate_keys,
    batches,
    beyond,
    ordered,
    vector_from_blob,
    vector_to_blob,
)
from memory_service.turn_log.repositories.summary_queue import SummaryQueueRepository
from memory_service.turn_log.schema import summaries, turns

# A summary of another branch is kept, and is used again when that branch is active.
_ACTIVE = summaries.join(turns, sa.and_(turns.c.key == summaries.c.tip_key, turns.c.active))


def _record(row: Any) -> Summary:
    return Summary(
        key=row.key,
        id=row.id,
        conversation_key=row.conversation_key,
        level=row.level,
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        tip_key=row.tip_key,
        began_at=row.began_at,
        ended_at=row.ended_at,
        text=row.text,
        model=row.model,
        created_at=row.created_at,
        vector=vector_from_blob(row.vector),
    )


class SummaryQueries(Statements):
    """Reads summaries."""

    def ranges(self, conversation_key: int) -> list[SummaryRange]:
        """Return what the summaries of the active branch cover."""
        rows = self._connection.execute(
            sa.select(
                summaries.c.key, summaries.c.level, summaries.c.first_seq, summaries.c.last_seq
            )
            .select_from(_ACTIVE)
            .where(summaries.c.conversation_key == conversation_key)
        ).all()
        return [SummaryRange(*row) for row in rows]

    def by_keys(self, conversation_key: int, keys: Iterable[int]) -> dict[int, Summary]:
        """Return those of the keys that are summaries of the conversation."""
        return {
            row.key: _record(row)
            for batch in batches(keys)
            for row in self._connection.execute(
                sa.select(summaries).where(
                    summaries.c.conversation_key == conversation_key, summaries.c.key.in_(batch)
                )
            ).all()
        }

    def key_of(self, conversation_key: int, summary_id: str) -> int | None:
        """Return the key of a conversation's summary by its id."""
        return self._connection.scalar(
            sa.select(summaries.c.key).where(
                summaries.c.conversation_key == conversation_key,
                summaries.c.id == summary_id,
            )
        )

    def page(self, conversation_key: int, after: int | None, limit: int, order: Order) -> Page:
        """Return a page of the active branch's summaries in the order they were made."""
        rows = self._connection.execute(
            sa.select(summaries)
            .select_from(_ACTIVE)
            .where(
                summaries.c.conversation_key == conversation_key,
                beyond(summaries.c.key, after, order),
            )
            .order_by(ordered(summaries.c.key, order))
            .limit(limit + 1)
        ).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    def of_scope(self, scope: Scope, limit: int) -> list[Summary]:
        """Return the newest summaries of the scope's active branches."""
        newest: list[Summary] = []
        for batch in batches(scope.conversation_keys):
            rows = self._connection.execute(
                sa.select(summaries)
                .select_from(_ACTIVE)
                .where(summaries.c.conversation_key.in_(batch))
                .order_by(summaries.c.key.desc())
                .limit(limit)
            )
            newest.extend(_record(row) for row in rows)
        return sorted(newest, key=lambda summary: -summary.key)[:limit]

    def without_vector(self, conversation_key: int, limit: int) -> list[Summary]:
        """Return the oldest summaries of a conversation that are not embedded yet."""
        rows = self._connection.execute(
            sa.select(summaries)
            .where(summaries.c.conversation_key == conversation_key, summaries.c.vector.is_(None))
            .order_by(summaries.c.key)
            .limit(limit)
        )
        return [_record(row) for row in rows]

    def all(self, conversation_key: int) -> list[Summary]:
        """Return the summaries of every branch of a conversation, for `verify`."""
        rows = self._connection.execute(
            sa.select(summaries)
            .where(summaries.c.conversation_key == conversation_key)
            .order_by(summaries.c.key)
        )
        return [_record(row) for row in rows]


class SummaryRepository(SummaryQueries):
    """Stores and deletes summaries."""

    def add(
        self,
        conversation_key: int,
        new: NewSummary,
        *,
        text: str,
        model: str,
        vector: Vector | None,
        now: int,
    ) -> bool:
        """Store a summary; return False, and store nothing, if a source of it was deleted."""
        if not self._all_exist(turns, new.turn_keys) or not self._all_exist(
            summaries, new.summary_keys
        ):
            return False
        self._connection.execute(
            sa.insert(summaries).values(
                key=allocate_keys(self._connection, "summaries", 1)[0],
                conversation_key=conversation_key,
                id=new_id("sum"),
                level=new.level,
                first_seq=new.first_seq,
                last_seq=new.last_seq,
                tip_key=new.tip_key,
                began_at=new.began_at,
                ended_at=new.ended_at,
                text=text,
                model=model,
                created_at=now,
                vector=vector_to_blob(vector),
            )
        )
        return True

    def store_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep vectors that were made after their summaries were stored."""
        for key, vector in vectors.items():
            self._connection.execute(
                sa.update(summaries)
                .where(summaries.c.key == key)
                .values(vector=vector_to_blob(vector))
            )

    def delete(self, conversation_key: int, seqs: Sequence[int]) -> int:
        """Delete every summary, of whatever level or branch, whose range holds one of the `seqs`.

        Remaining turns that they covered are queued to be summarised again.
        """
        rows = self._connection.execute(
            sa.select(summaries.c.key, summaries.c.first_seq, summaries.c.last_seq).where(
                summaries.c.conversation_key == conversation_key,
                summaries.c.first_seq <= max(seqs),
                summaries.c.last_seq >= min(seqs),
            )
        ).all()
        keys = [row.key for row in rows if any(row[1] <= seq <= row[2] for seq in seqs)]
        for batch in batches(keys):
            self._connection.execute(sa.delete(summaries).where(summaries.c.key.in_(batch)))
        if keys:
            self._summary_queue.add(conversation_key)
        return len(keys)

    def _all_exist(self, table: sa.Table, keys: Sequence[int]) -> bool:
        """Return whether a table has all of the keys, which are never reused."""
        count = sum(
            self._connection.scalar(
                sa.select(sa.func.count()).select_from(table).where(table.c.key.in_(batch))
            )
            or 0
            for batch in batches(keys)
        )
        return count == len(keys)

    @property
    def _summary_queue(self) -> SummaryQueueRepository:
        return SummaryQueueRepository(self._connection)
