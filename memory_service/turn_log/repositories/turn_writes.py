"""Turns: appending them to the tree, and moving the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.items.media import cut_media
from memory_service.turn_log.repositories.history_index import HistoryIndexRepository
from memory_service.turn_log.repositories.media import MediaRepository
from memory_service.turn_log.repositories.statements import (
    allocate_keys,
    batches,
    metadata_from_text,
    metadata_to_text,
)
from memory_service.turn_log.repositories.turns import TurnQueries
from memory_service.turn_log.schema import conversations, tool_calls, turns
from memory_service.turn_log.tool_groups import assign_tool_groups

_GROW = (
    sa.update(conversations)
    .where(conversations.c.key == sa.bindparam("conversation_key"))
    .values(head_key=sa.bindparam("head"), next_seq=sa.bindparam("next"))
)


class _Branch(NamedTuple):
    """The turns to activate for a new head, and the `seq` of the active turn above them."""

    inactive_keys: list[int]
    fork_seq: int


class TurnRepository(TurnQueries):
    """Appends turns and moves the head."""

    def append(
        self,
        project_key: int,
        conversation: Conversation,
        new: Sequence[NewTurn],
        *,
        parent: Turn | None,
        gap_before: bool,
        now: int,
        active: bool = True,
        follows_key: int | None = None,
    ) -> list[Turn]:
        """Add turns below `parent`, and return them without their media.

        If they are `active`, the last of them becomes the head.

        A parent that is not the head starts a branch: the turns after it are kept and no longer
        active. `follows_key` is the turn before them in the history of their client, if that is not
        the parent.
        """
        parent_key = parent.key if parent else None
        if active and parent_key != conversation.head_key:
            self._activate(conversation.key, parent)
        keys = allocate_keys(self._connection, "turns", len(new))
        cut = [cut_media(turn.raw) for turn in new]
        groups = assign_tool_groups(new, keys, parent, self._groups_of_calls(conversation.key, new))
        rows = [
            {
                "key": key,
                "project_key": project_key,
                "conversation_key": conversation.key,
                "id": turn.id,
                "seq": conversation.next_seq + number,
                "parent_key": keys[number - 1] if number else parent_key,
                "tool_group_key": group,
                "active": active,
                "gap_before": gap_before and number == 0,
                **_content(turn, cut[number].raw, now),
            }
            for number, (key, turn, group) in enumerate(zip(keys, new, groups, strict=True))
        ]
        self._insert_plain(turns, tuple(rows[0]), [tuple(row.values()) for row in rows])
        HistoryIndexRepository(self._connection).add(
            conversation, list(zip(keys, new, strict=True)), follows_key
        )
        MediaRepository(self._connection).add(
            project_key, {key: text for key, text in zip(keys, cut, strict=True) if text.media}
        )
        self._add_calls(conversation.key, zip(keys, new, strict=True))
        self._connection.execute(
            _GROW,
            {
                "conversation_key": conversation.key,
                "head": keys[-1] if active else conversation.head_key,
                "next": conversation.next_seq + len(new),
            },
        )
        return [_from_row(row) for row in rows]

    def set_head(self, conversation_key: int, head: Turn) -> None:
        """Make the branch that ends in `head` the active one."""
        self._activate(conversation_key, head)
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.key == conversation_key)
            .values(head_key=head.key)
        )

    def move_to_end(
        self, conversation: Conversation, path: Sequence[int], moved: Sequence[int]
    ) -> Conversation:
        """Move turns of the active branch behind its head; the last of them becomes the head.

        `path` are the keys of the active turns from the first of the `moved` on. No turn outside of
        the path is below those that move.
        """
        others = [key for key in path if key not in moved]
        above = self._connection.scalar(sa.select(turns.c.parent_key).where(turns.c.key == path[0]))
        parents = dict(zip([*others, *moved], [above, *others, *moved], strict=False))
        seqs = {key: conversation.next_seq + number for number, key in enumerate(moved)}
        for key in path:
            new_seq = {"seq": seqs[key]} if key in seqs else {}
            self._connection.execute(
                sa.update(turns)
                .where(turns.c.key == key)
                .values(parent_key=parents[key], **new_seq)
            )
        self.count_path_change(conversation.key)
        end = {"head": moved[-1], "next": conversation.next_seq + len(moved)}
        self._connection.execute(_GROW, {"conversation_key": conversation.key, **end})
        return replace(conversation, head_key=end["head"], next_seq=end["next"])

    def count_path_change(self, conversation_key: int) -> None:
        """Count a change of the active branch that is not an append."""
        self._connection.execute(
            sa.update(conversations)
            .where(conversations.c.key == conversation_key)
            .values(path_changes=conversations.c.path_changes + 1)
        )

    def _add_calls(self, conversation_key: int, added: Iterable[tuple[int, NewTurn]]) -> None:
        self._insert(
            tool_calls,
            [
                {"conversation_key": conversation_key, "call_id": call, "turn_key": key}
                for key, turn in added
                for call in dict.fromkeys(turn.calls)
            ],
        )

    def _groups_of_calls(
        self, conversation_key: int, new: Sequence[NewTurn]
    ) -> dict[str, int | None]:
        """Return the tool groups of the active calls that new turns answer, by call id."""
        groups: dict[str, int | None] = {}
        for call_ids in batches({turn.answers for turn in new if turn.answers}):
            rows = self._connection.execute(
                sa.select(tool_calls.c.call_id, turns.c.tool_group_key)
                .join(turns, turns.c.key == tool_calls.c.turn_key)
                .where(
                    tool_calls.c.conversation_key == conversation_key,
                    tool_calls.c.call_id.in_(call_ids),
                    turns.c.active,
                )
                .order_by(turns.c.seq)
            )
            groups.update((row.call_id, row.tool_group_key) for row in rows)
        return groups

    def _activate(self, conversation_key: int, head: Turn | None) -> None:
        """Make the turns of the branch that ends in `head` active, and no others."""
        branch = self._branch(head)
        self._connection.execute(
            sa.update(turns)
            .where(
                turns.c.conversation_key == conversation_key,
                turns.c.active,
                turns.c.seq > branch.fork_seq,
            )
            .values(active=False)
        )
        self.count_path_change(conversation_key)
        for keys in batches(branch.inactive_keys):
            self._connection.execute(
                sa.update(turns).where(turns.c.key.in_(keys)).values(active=True)
            )

    def _branch(self, head: Turn | None) -> _Branch:
        """Return the branch that ends in `head`, up to the first active turn above it."""
        inactive: list[int] = []
        key = head.key if head else None
        while key is not None:
            row = self._connection.execute(
                sa.select(turns.c.parent_key, turns.c.active, turns.c.seq).where(turns.c.key == key)
            ).one()
            if row.active:
                return _Branch(inactive, row.seq)
            inactive.append(key)
            key = row.parent_key
        return _Branch(inactive, 0)


def _content(turn: NewTurn, raw: str, now: int) -> dict[str, Any]:
    """Return the columns of a turn that do not depend on its place, in the table's order."""
    return {
        "kind": turn.kind,
        "role": turn.role,
        "name": turn.name,
        "text": turn.text,
        "raw": raw,
        "metadata": metadata_to_text(turn.metadata),
        "created_at": now if turn.created_at is None else turn.created_at,
        "utc_offset_minutes": turn.utc_offset_minutes,
        "stored_at": now,
        "content_hash": turn.content_hash,
    }


def _from_row(row: dict[str, Any]) -> Turn:
    values = dict(row)
    values["metadata"] = metadata_from_text(values["metadata"])
    del values["project_key"]
    return Turn(**values)
