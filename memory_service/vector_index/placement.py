"""Placement of conversations: small ones share a collection, a large one has its own."""

from __future__ import annotations

from collections.abc import Iterable

from memory_service.core.models import Collection
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.collections import ConversationSize
from memory_service.turn_log.transactions import WriteTransaction


class Placement:
    """Places conversations in collections; used by the thread that writes to the index."""

    def __init__(self, log: TurnLog, capacity: int) -> None:
        self._log = log
        self._capacity = capacity

    def of(self, conversation_keys: Iterable[int]) -> dict[int, Collection]:
        """Return the collections of conversations, after placing or moving them if needed.

        A conversation that was deleted meanwhile has none. All are placed in one transaction: a
        batch of an import holds a dozen new conversations, and each flush waits for the disk.
        """
        keys = list(conversation_keys)
        with self._log.read() as snapshot:
            placed = snapshot.placements.of_conversations(keys)
        unplaced = [key for key in keys if not self._has_room(placed.get(key))]
        if not unplaced:
            return placed
        with self._log.write() as transaction:
            sizes = transaction.placements.sizes(unplaced)
            current = transaction.placements.of_conversations(unplaced)
            moved = {
                key: self._place(transaction, key, sizes[key], current.get(key))
                for key in unplaced
                if key in sizes
            }
        kept = {key: placed[key] for key in placed if key not in unplaced}
        return kept | moved

    def _has_room(self, placed: Collection | None) -> bool:
        return placed is not None and (
            placed.conversation_key is not None or placed.vectors <= self._capacity
        )

    def _place(
        self,
        transaction: WriteTransaction,
        key: int,
        size: ConversationSize,
        placed: Collection | None,
    ) -> Collection:
        own_share, needed = self._capacity // 2, size.passages
        if needed > own_share:
            chosen = transaction.collections.create(size.project_key, key)
        else:
            # Room for the whole conversation: if only its first batch fitted, it would move again.
            chosen = transaction.collections.with_room(
                size.project_key, size.user_key, below=self._capacity - needed + 1
            ) or transaction.collections.create(size.project_key, None)
        if placed is None:
            transaction.placements.place(key, chosen, needed)
        elif placed.key != chosen.key:
            transaction.placements.move(key, placed, chosen, needed)
        return chosen
