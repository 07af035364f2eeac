"""The history index: finds the turns that a client sends again, and their place in the tree.

The index has a row for each turn. `message_hash` is equal for all forms in which clients send a
message again. `from_request` says that a client sent it, which may have made it up. `follows_key`
is the turn before it in the history of its client, where that is not its parent: a new session,
and a request in parallel with others, are stored below the head without knowing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from memory_service.core.models import Conversation, NewTurn
from memory_service.turn_log.repositories.statements import Statements, batches
from memory_service.turn_log.schema import conversations, history_index, turns

BEGINNING = 0
"""The `follows_key` of a turn that begins its client's history."""

_MAX_HASHES = 300
"""The most messages of a history that are looked up: its last ones."""

_MAX_THREADS = 200
"""The most older turns with a `follows_key` that are read with a tree."""

_NO_HASH = b""


@dataclass(frozen=True, slots=True)
class TreePoint:
    """A turn's place in the tree of its conversation, without its text."""

    key: int
    id: str
    seq: int
    parent_key: int | None
    tool_group_key: int | None
    active: bool
    kind: str
    role: str
    stored_at: int
    message_hash: bytes
    from_request: bool
    follows_key: int | None


class PathRow(NamedTuple):
    """A turn's place on the active branch, and in the history of its client."""

    key: int
    parent_key: int | None
    follows_key: int | None

    @property
    def before_key(self) -> int | None:
        """The turn before it in the history of its client."""
        return self.parent_key if self.follows_key is None else self.follows_key


_POINTS = sa.select(
    turns.c.key,
    turns.c.id,
    turns.c.seq,
    turns.c.parent_key,
    turns.c.tool_group_key,
    turns.c.active,
    turns.c.kind,
    turns.c.role,
    turns.c.stored_at,
    sa.func.coalesce(history_index.c.message_hash, _NO_HASH),
    sa.func.coalesce(history_index.c.from_request, sa.false()),
    history_index.c.follows_key,
).select_from(turns.outerjoin(history_index, history_index.c.turn_key == turns.c.key))
"""In the order of a TreePoint's fields."""


class HistoryIndexQueries(Statements):
    """Reads the history index."""

    def tree_points(self, conversation_key: int, limit: int) -> list[TreePoint]:
        """Return the last active turns, and the inactive turns from the first of these on.

        Older active turns are among them if they have a `follows_key`.
        """
        of_conversation = _POINTS.where(turns.c.conversation_key == conversation_key)
        newest = of_conversation.order_by(turns.c.seq.desc()).limit(limit)
        active = self._points(newest.where(turns.c.active))
        first = active[-1].seq if len(active) == limit else 0
        inactive = self._points(newest.where(turns.c.active.is_(False), turns.c.seq >= first))
        if not first:
            return [*active, *inactive]
        threads = of_conversation.where(
            turns.c.active, turns.c.seq < first, history_index.c.follows_key.is_not(None)
        )
        older = self._points(threads.order_by(turns.c.seq.desc()).limit(_MAX_THREADS))
        return [*active, *inactive, *older]

    def tree_points_between(
        self, conversation_key: int, first_seq: int, last_seq: int, limit: int
    ) -> list[TreePoint]:
        """Return the last turns of all branches in a range of `seq`."""
        return self._points(
            _POINTS.where(
                turns.c.conversation_key == conversation_key,
                turns.c.seq.between(first_seq, last_seq),
            )
            .order_by(turns.c.seq.desc())
            .limit(limit)
        )

    def last_match(
        self, owner_key: int, conversation_key: int, hashes: Sequence[bytes]
    ) -> int | None:
        """Return the `seq` of the newest turn of a conversation that has one of the hashes."""
        seq: int | None = self._connection.scalar(
            sa.select(sa.func.max(turns.c.seq))
            .select_from(history_index.join(turns, turns.c.key == history_index.c.turn_key))
            .where(
                history_index.c.owner_key == owner_key,
                history_index.c.message_hash.in_(hashes[-_MAX_HASHES:]),
                history_index.c.conversation_key == conversation_key,
            )
        )
        return seq

    def conversations_with(self, owner_key: int, hashes: Sequence[bytes], limit: int) -> list[int]:
        """Return the keys of the owner's conversations that have most of the hashes.

        Among those that have as many come first the ones whose head is among the turns, then the
        ones whose turns are newest.
        """
        return list(
            self._connection.scalars(
                sa.select(history_index.c.conversation_key)
                .join(conversations, conversations.c.key == history_index.c.conversation_key)
                .where(
                    history_index.c.owner_key == owner_key,
                    history_index.c.message_hash.in_(hashes[-_MAX_HASHES:]),
                )
                .group_by(history_index.c.conversation_key)
                .order_by(
                    sa.func.count(history_index.c.message_hash.distinct()).desc(),
                    sa.func.max(
                        sa.case((conversations.c.head_key == history_index.c.turn_key, 1), else_=0)
                    ).desc(),
                    sa.func.max(history_index.c.turn_key).desc(),
                )
                .limit(limit)
            )
        )

    def path_from(self, conversation_key: int, seq: int) -> list[PathRow]:
        """Return the active turns from a `seq` on, oldest first."""
        rows = self._connection.execute(
            sa.select(turns.c.key, turns.c.parent_key, history_index.c.follows_key)
            .select_from(turns.outerjoin(history_index, history_index.c.turn_key == turns.c.key))
            .where(turns.c.conversation_key == conversation_key, turns.c.active, turns.c.seq >= seq)
            .order_by(turns.c.seq)
        )
        return [PathRow(*row) for row in rows]

    def children(
        self, conversation_key: int, turn_keys: Sequence[int], first_seq: int
    ) -> list[int]:
        """Return the keys of the turns below turns, without these turns; all from a `seq` on."""
        return list(
            self._connection.scalars(
                sa.select(turns.c.key).where(
                    turns.c.conversation_key == conversation_key,
                    turns.c.active.in_([True, False]),
                    turns.c.seq >= first_seq,
                    turns.c.parent_key.in_(turn_keys),
                    turns.c.key.not_in(turn_keys),
                )
            )
        )

    def hashes(self, turn_keys: Iterable[int]) -> dict[int, bytes]:
        """Return the hashes of turns, by key."""
        return {
            row.turn_key: row.message_hash
            for batch in batches(turn_keys)
            for row in self._connection.execute(
                sa.select(history_index.c.turn_key, history_index.c.message_hash).where(
                    history_index.c.turn_key.in_(batch)
                )
            )
        }

    def _points(self, statement: sa.Select[Any]) -> list[TreePoint]:
        return [TreePoint(*row) for row in self._connection.execute(statement)]


class HistoryIndexRepository(HistoryIndexQueries):
    """Adds turns to the history index; it loses them when they are deleted."""

    def add(
        self,
        conversation: Conversation,
        added: Sequence[tuple[int, NewTurn]],
        follows_key: int | None = None,
    ) -> None:
        """Add appended turns, by key; `follows_key` belongs to the first."""
        self._insert_plain(
            history_index,
            tuple(history_index.c.keys()),
            [
                (
                    key,
                    owner_key(conversation),
                    conversation.key,
                    turn.message_hash,
                    turn.from_request,
                    None if number else follows_key,
                )
                for number, (key, turn) in enumerate(added)
            ],
        )

    def set_follows(self, turn_key: int, follows_key: int) -> None:
        """Set the turn before a turn in the history of its client."""
        self._connection.execute(
            sa.update(history_index)
            .where(history_index.c.turn_key == turn_key, history_index.c.follows_key.is_(None))
            .values(follows_key=follows_key)
        )


def owner_key(conversation: Conversation) -> int:
    """Return the key under which the turns of a conversation are found."""
    return -conversation.key if conversation.user_key is None else conversation.user_key
