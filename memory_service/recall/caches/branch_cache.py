"""The active branches of conversations in memory: who spoke when, and which turns are neighbours.

A recall needs the neighbours and times of every candidate; reading them one by one from the log
took longer than everything else. An entry grows by what was appended since it was read. A deletion
or a change of branch causes it to be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Integers, ScopeMember
from memory_service.recall.caches.conversation_cache import (
    ConversationCache,
    extended,
    size_in_memory,
)
from memory_service.turn_log.repositories.turns import BranchRow
from memory_service.turn_log.transactions import ReadTransaction

_MAX_BYTES = 64 * 1024 * 1024
"""21 bytes a turn: the branches of three million turns."""
_ROWS_READ_AT_ONCE = 20_000
"""The rows of a million turns, read at once, take 400 MB."""

Positions = npt.NDArray[np.intp]
"""Positions on an active branch, counted from its root at 0; shape (n,)."""


@dataclass(frozen=True, slots=True)
class ActiveBranch:
    """The turns from the root to the head: arrays of shape (n,), with times in microseconds.

    `turns` are keys. `segments` numbers the segments: consecutive turns without a deletion or a
    long pause between them. `path_changes` and `next_seq` say what of the log the entry reflects.
    """

    turns: Integers
    created_at: Integers
    by_user: npt.NDArray[np.bool_]
    segments: npt.NDArray[np.int32]
    next_seq: int
    path_changes: int

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return size_in_memory(self.turns, self.created_at, self.by_user, self.segments)

    def around(self, turn_keys: Iterable[int], reach: int) -> Positions:
        """Return the positions of turns and of those up to `reach` away, rising.

        Keys that are not on the branch are left out.
        """
        wanted = np.fromiter(turn_keys, dtype=np.int64)
        positions = np.searchsorted(self.turns, wanted)
        positions = positions[positions < len(self.turns)]
        positions = positions[np.isin(self.turns[positions], wanted)]
        near = np.unique(positions[:, None] + np.arange(-reach, reach + 1))
        return near[(near >= 0) & (near < len(self.turns))]


class BranchCache:
    """Active branches by conversation; a pause longer than `pause` microseconds ends a segment."""

    def __init__(self, pause: int) -> None:
        self._pause = pause
        self._cache = ConversationCache[ActiveBranch](_MAX_BYTES)

    def get(
        self, snapshot: ReadTransaction, conversation_key: int, member: ScopeMember
    ) -> ActiveBranch:
        """Return a conversation's active branch as the snapshot has it, or newer."""
        branch = self._valid_entry(conversation_key, member)
        if branch is not None and branch.next_seq >= member.next_seq:
            return branch
        with self._cache.growth_lock(conversation_key):
            branch = self._valid_entry(conversation_key, member) or _empty(member.path_changes)
            return self._cache.put(
                conversation_key, self._complete(snapshot, conversation_key, member, branch)
            )

    def _valid_entry(self, conversation_key: int, member: ScopeMember) -> ActiveBranch | None:
        branch = self._cache.get(conversation_key)
        is_valid = branch is not None and branch.path_changes == member.path_changes
        return branch if is_valid else None

    def _complete(
        self,
        snapshot: ReadTransaction,
        conversation_key: int,
        member: ScopeMember,
        branch: ActiveBranch,
    ) -> ActiveBranch:
        """Return a branch with what the log has beyond it."""
        while rows := snapshot.turns.active_branch(
            conversation_key, branch.next_seq, _ROWS_READ_AT_ONCE
        ):
            branch = self._grown(branch, rows)
            if len(rows) < _ROWS_READ_AT_ONCE:
                break
        return replace(branch, next_seq=max(branch.next_seq, member.next_seq))

    def _grown(self, branch: ActiveBranch, rows: Sequence[BranchRow]) -> ActiveBranch:
        keys, parent_keys, times, gaps, roles, numbers = zip(*rows, strict=True)
        turns, created_at = np.array(keys, np.int64), np.array(times, np.int64)
        # The root has no parent, and no turn stands before it: both are -1.
        parents = np.array([-1 if key is None else key for key in parent_keys], np.int64)
        before = np.insert(turns[:-1], 0, branch.turns[-1] if len(branch.turns) else -1)
        time_before = np.insert(
            created_at[:-1], 0, branch.created_at[-1] if len(branch.turns) else created_at[0]
        )
        begins = (parents != before) | np.array(gaps, np.bool_)
        begins |= np.abs(created_at - time_before) > self._pause
        last = branch.segments[-1] if len(branch.turns) else np.int32(0)
        return ActiveBranch(
            turns=extended(branch.turns, turns),
            created_at=extended(branch.created_at, created_at),
            by_user=extended(branch.by_user, np.array([role == "user" for role in roles])),
            segments=extended(branch.segments, last + np.cumsum(begins, dtype=np.int32)),
            next_seq=numbers[-1] + 1,
            path_changes=branch.path_changes,
        )


def _empty(path_changes: int) -> ActiveBranch:
    keys = np.empty(0, np.int64)
    return ActiveBranch(
        turns=keys,
        created_at=keys.copy(),
        by_user=np.empty(0, np.bool_),
        segments=np.empty(0, np.int32),
        next_seq=0,
        path_changes=path_changes,
    )
