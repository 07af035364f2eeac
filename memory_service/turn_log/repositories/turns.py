"""Turns: reading them by id, by key and along the active branch, without their media."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from memory_service.core.models import Order, Page, Scope, Turn
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.turn_log.repositories.media import MediaQueries
from memory_service.turn_log.repositories.statements import (
    Statements,
    batches,
    beyond,
    metadata_from_text,
    ordered,
)
from memory_service.turn_log.schema import passages, turns

_TURN = (
    turns.c.key,
    turns.c.id,
    turns.c.conversation_key,
    turns.c.seq,
    turns.c.parent_key,
    turns.c.tool_group_key,
    turns.c.active,
    turns.c.gap_before,
    turns.c.kind,
    turns.c.role,
    turns.c.name,
    turns.c.text,
    turns.c.raw,
    turns.c.metadata,
    turns.c.created_at,
    turns.c.utc_offset_minutes,
    turns.c.stored_at,
    turns.c.content_hash,
)
"""In the order of a Turn's fields."""

_ACTIVE, _GAP_BEFORE, _METADATA = 6, 7, 13

_OWNED_TURN = sa.select(*_TURN, turns.c.project_key)

_BY_IDS = sa.select(*_TURN).where(
    turns.c.project_key == sa.bindparam("project_key"),
    turns.c.id.in_(sa.bindparam("ids", expanding=True)),
)


_PASSAGE_TEXT = sa.select(
    turns.c.key,
    turns.c.role,
    turns.c.name,
    # A literal, not a parameter: `_fetch_of_keys` allows no parameters.
    sa.func.substr(
        turns.c.text,
        passages.c.start + sa.literal_column("1"),
        passages.c.end - passages.c.start,
    ),
    turns.c.project_key,
).join(passages, passages.c.turn_key == turns.c.key)
"""In the order of a PassageTextRow's fields, then the project's key."""


def _record(row: Sequence[Any]) -> Turn:
    """Return the turn of a row that begins like `_TURN`; the driver has 0 and 1 for booleans."""
    fields = list(row[: len(_TURN)])
    fields[_ACTIVE] = bool(row[_ACTIVE])
    fields[_GAP_BEFORE] = bool(row[_GAP_BEFORE])
    fields[_METADATA] = metadata_from_text(row[_METADATA])
    return Turn(*fields)


class BranchRow(NamedTuple):
    """A turn's place on the active branch."""

    key: int
    parent_key: int | None
    created_at: int
    gap_before: bool
    role: str
    seq: int


class PassageTextRow(NamedTuple):
    """A passage's turn, its speaker's role and name, and its text."""

    turn_key: int
    role: str
    name: str | None
    text: str


class TurnQueries(Statements):
    """Reads turns."""

    def get(self, project_key: int, conversation_key: int, turn_id: str) -> Turn | None:
        """Return a turn of the conversation by its id."""
        turn = self.by_ids(project_key, [turn_id]).get(turn_id)
        return turn if turn and turn.conversation_key == conversation_key else None

    def by_ids(self, project_key: int, ids: Iterable[str]) -> dict[str, Turn]:
        """Return the project's turns among the ids, of any conversation."""
        turns_by_id: dict[str, Turn] = {}
        for batch in batches(ids):
            rows = self._connection.execute(_BY_IDS, {"project_key": project_key, "ids": batch})
            turns_by_id.update((row.id, _record(row)) for row in rows)
        return turns_by_id

    def by_keys(self, project_key: int, keys: Iterable[int]) -> dict[int, Turn]:
        """Return the project's turns among the keys."""
        # The project is compared here: in the statement SQLite would look the keys up by it, which
        # reads an index entry of each turn the project has (33 ms of 100,000, not 2).
        return {
            row[0]: _record(row)
            for row in self._fetch_of_keys(_OWNED_TURN, turns.c.key, keys)
            if row[-1] == project_key
        }

    def passage_texts(self, project_key: int, passage_keys: Iterable[int]) -> list[PassageTextRow]:
        """Return the texts of passages of the project, without the rest of their turns."""
        return [
            PassageTextRow(*row[:-1])
            for row in self._fetch_of_keys(_PASSAGE_TEXT, passages.c.key, passage_keys)
            if row[-1] == project_key
        ]

    def of_conversation(self, conversation_key: int, keys: Iterable[int]) -> list[Turn]:
        """Return the conversation's turns among the keys; for background work of no project."""
        return [
            _record(row)
            for batch in batches(keys)
            for row in self._connection.execute(
                sa.select(*_TURN).where(
                    turns.c.conversation_key == conversation_key, turns.c.key.in_(batch)
                )
            )
        ]

    def utc_offset_minutes(self, scope: Scope) -> int | None:
        """Return the offset from UTC that the newest turn of the scope was written in."""
        return self._connection.scalar(
            sa.select(turns.c.utc_offset_minutes)
            .where(turns.c.conversation_key == max(scope.conversation_keys), turns.c.active)
            .order_by(turns.c.seq.desc())
            .limit(1)
        )

    def page(self, conversation_key: int, after_seq: int | None, limit: int, order: Order) -> Page:
        """Return a page of the active branch."""
        rows = self._connection.execute(
            sa.select(*_TURN)
            .where(
                turns.c.conversation_key == conversation_key,
                turns.c.active,
                beyond(turns.c.seq, after_seq, order),
            )
            .order_by(ordered(turns.c.seq, order))
            .limit(limit + 1)
        ).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    def between(
        self, conversation_key: int, after_seq: int, before_seq: int, limit: int
    ) -> list[Turn]:
        """Return the first active turns between two `seq`s, without system messages."""
        rows = self._connection.execute(
            sa.select(*_TURN)
            .where(
                turns.c.conversation_key == conversation_key,
                turns.c.active,
                turns.c.seq > after_seq,
                turns.c.seq < before_seq,
                turns.c.role.not_in(SYSTEM_ROLES),
            )
            .order_by(turns.c.seq)
            .limit(limit)
        ).all()
        return [_record(row) for row in rows]

    def tool_groups_from(self, conversation_key: int, seq: int) -> set[int]:
        """Return the tool groups that have active turns at `seq` or after it."""
        return set(
            self._connection.scalars(
                sa.select(turns.c.tool_group_key)
                .where(
                    turns.c.conversation_key == conversation_key,
                    turns.c.active,
                    turns.c.seq >= seq,
                    turns.c.tool_group_key.is_not(None),
                )
                .distinct()
            )
        )

    def newest(self, conversation_key: int, limit: int) -> list[Turn]:
        """Return the last turns of the active branch, oldest first."""
        return list(reversed(self.page(conversation_key, None, limit, "desc").data))

    def before(self, turn: Turn, limit: int) -> list[Turn]:
        """Return the last turns of the path to a turn, without that turn, oldest first."""
        path: list[Turn] = []
        key = turn.parent_key
        while key is not None and len(path) < limit:
            parent = self.of_conversation(turn.conversation_key, [key])[0]
            if parent.active:
                rest = self.page(turn.conversation_key, parent.seq + 1, limit - len(path), "desc")
                path += rest.data
                break
            path.append(parent)
            key = parent.parent_key
        return list(reversed(path))

    def system_turns(self, conversation_key: int, limit: int) -> list[Turn]:
        """Return the first messages of the system on the active branch."""
        rows = self._connection.execute(
            sa.select(*_TURN)
            .where(
                turns.c.conversation_key == conversation_key,
                turns.c.active,
                turns.c.role.in_(SYSTEM_ROLES),
            )
            .order_by(turns.c.seq)
            .limit(limit)
        )
        return [_record(row) for row in rows]

    def raw(self, conversation_key: int, keys: Iterable[int]) -> dict[int, str]:
        """Return the JSON of turns of a conversation, by key, with marks instead of media."""
        raws = {
            row.key: row.raw
            for batch in batches(keys)
            for row in self._connection.execute(
                sa.select(turns.c.key, turns.c.raw).where(
                    turns.c.conversation_key == conversation_key, turns.c.key.in_(batch)
                )
            )
        }
        return MediaQueries(self._connection).with_hashes(raws)

    def in_range(self, conversation_key: int, first_seq: int, last_seq: int) -> list[Turn]:
        """Return the turns whose `seq` lies in a range, of all branches."""
        rows = self._connection.execute(
            sa.select(*_TURN)
            .where(
                turns.c.conversation_key == conversation_key,
                turns.c.seq.between(first_seq, last_seq),
            )
            .order_by(turns.c.seq)
        )
        return [_record(row) for row in rows]

    def all(self, conversation_key: int) -> Iterator[Turn]:
        """Yield every turn of every branch by rising `seq`, a bounded number at a time."""
        after = 0
        while True:
            rows = self._connection.execute(
                sa.select(*_TURN)
                .where(turns.c.conversation_key == conversation_key, turns.c.seq > after)
                .order_by(turns.c.seq)
                .limit(500)
            ).all()
            yield from map(_record, rows)
            if not rows:
                return
            after = rows[-1].seq

    def tool_group(self, turn: Turn) -> list[Turn]:
        """Return the tool group of a turn, or the turn alone if it is in none."""
        if turn.tool_group_key is None:
            return [turn]
        rows = self._connection.execute(
            sa.select(*_TURN)
            .where(
                turns.c.conversation_key == turn.conversation_key,
                turns.c.tool_group_key == turn.tool_group_key,
            )
            .order_by(turns.c.seq)
        )
        return [_record(row) for row in rows]

    def active_branch(self, conversation_key: int, first_seq: int, limit: int) -> list[BranchRow]:
        """Return the next active turns from a `seq` on, oldest first, without their texts."""
        # Plain rows in the order of a BranchRow's fields: making 100,000 objects would take longer.
        return cast(
            "list[BranchRow]",
            self._fetch_plain(
                sa.select(
                    turns.c.key,
                    turns.c.parent_key,
                    turns.c.created_at,
                    turns.c.gap_before,
                    turns.c.role,
                    turns.c.seq,
                )
                .where(
                    turns.c.conversation_key == conversation_key,
                    turns.c.active,
                    turns.c.seq >= first_seq,
                )
                .order_by(turns.c.seq)
                .limit(limit)
            ),
        )
