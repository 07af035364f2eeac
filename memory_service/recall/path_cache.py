"""The live paths of conversations in memory: who spoke when, and what stands next to what.

Neighbours and times are needed of every candidate of a recall; read one by one from the log they
took longer than everything else. An entry grows by what was appended since it was read; a deletion
or a change of branch makes it be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memory_service.core.models import ScopeMember
from memory_service.recall.conversation_cache import ConversationCache, extended, size_in_memory
from memory_service.turn_log.repositories.turns import PathRow
from memory_service.turn_log.transactions import ReadTransaction

_MAX_BYTES = 64 * 1024 * 1024
"""21 bytes a turn: the paths of three million turns."""
_READ_AT_ONCE = 20_000
"""The rows of a million turns, read at once, are 400 MB."""


@dataclass(frozen=True, slots=True)
class LivePath:
    """The turns from the root to the head; arrays of shape (n,), keys and times in microseconds.

    `stretches` numbers the uninterrupted stretches: a deletion or a long pause begins a new one.
    """

    turns: npt.NDArray[np.int64]
    created_at: npt.NDArray[np.int64]
    by_user: npt.NDArray[np.bool_]
    stretches: npt.NDArray[np.int32]
    next_seq: int
    changes: int

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return size_in_memory(self.turns, self.created_at, self.by_user, self.stretches)

    def around(self, turn_keys: Iterable[int], reach: int) -> npt.NDArray[np.intp]:
        """Return the places of turns and of their neighbours up to `reach` away, rising.

        Keys that are not on the path are left out.
        """
        wanted = np.fromiter(turn_keys, dtype=np.int64)
        places = np.searchsorted(self.turns, wanted)
        places = places[places < len(self.turns)]
        places = places[np.isin(self.turns[places], wanted)]
        near = np.unique(places[:, None] + np.arange(-reach, reach + 1))
        return near[(near >= 0) & (near < len(self.turns))]


class PathCache:
    """Live paths by conversation; a pause longer than `pause` microseconds ends a stretch."""

    def __init__(self, pause: int) -> None:
        self._pause = pause
        self._cache = ConversationCache[LivePath](_MAX_BYTES)

    def get(
        self, snapshot: ReadTransaction, conversation_key: int, member: ScopeMember
    ) -> LivePath:
        """Return a conversation's live path as the reader's snapshot has it, or newer."""
        known = self._known(conversation_key, member)
        if known is not None and known.next_seq >= member.next_seq:
            return known
        with self._cache.growing(conversation_key):
            known = self._known(conversation_key, member) or _nothing(member.path_changes)
            return self._cache.keep(
                conversation_key, self._read(snapshot, conversation_key, known, member)
            )

    def _known(self, conversation_key: int, member: ScopeMember) -> LivePath | None:
        known = self._cache.find(conversation_key)
        return known if known is not None and known.changes == member.path_changes else None

    def _read(
        self, snapshot: ReadTransaction, conversation_key: int, known: LivePath, member: ScopeMember
    ) -> LivePath:
        """Return a path with what the log has beyond it."""
        while rows := snapshot.turns.active_branch(conversation_key, known.next_seq, _READ_AT_ONCE):
            known = self._grown(known, rows)
            if len(rows) < _READ_AT_ONCE:
                break
        return replace(known, next_seq=max(known.next_seq, member.next_seq))

    def _grown(self, known: LivePath, rows: Sequence[PathRow]) -> LivePath:
        keys, parents, created, gaps, roles, numbers = zip(*rows, strict=True)
        turns, created_at = np.array(keys, np.int64), np.array(created, np.int64)
        # The root hangs on nothing, which is what stands before it.
        hangs_on = np.array([-1 if parent is None else parent for parent in parents], np.int64)
        before = np.insert(turns[:-1], 0, known.turns[-1] if len(known.turns) else -1)
        said_before = np.insert(
            created_at[:-1], 0, known.created_at[-1] if len(known.turns) else created_at[0]
        )
        begins = (hangs_on != before) | np.array(gaps, np.bool_)
        begins |= np.abs(created_at - said_before) > self._pause
        last = known.stretches[-1] if len(known.turns) else np.int32(0)
        return LivePath(
            turns=extended(known.turns, turns),
            created_at=extended(known.created_at, created_at),
            by_user=extended(known.by_user, np.array([role == "user" for role in roles])),
            stretches=extended(known.stretches, last + np.cumsum(begins, dtype=np.int32)),
            next_seq=numbers[-1] + 1,
            changes=known.changes,
        )


def _nothing(changes: int) -> LivePath:
    keys, none = np.empty(0, np.int64), np.empty(0, np.int32)
    return LivePath(keys, keys.copy(), np.empty(0, np.bool_), none, next_seq=0, changes=changes)
