"""Where vectors go: small conversations share a collection, a large one has its own."""

from __future__ import annotations

from collections.abc import Iterable

from memory_service.core.models import Collection
from memory_service.turn_log.collections import Home
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import WriteTransaction


class Placement:
    """Gives conversations their collections; used by the one thread that writes to the index."""

    def __init__(self, log: TurnLog, capacity: int) -> None:
        self._log = log
        self._capacity = capacity

    def of(self, conversation_keys: Iterable[int]) -> dict[int, Collection]:
        """Return the collections of conversations, placing or moving them first if needed.

        A conversation that was deleted meanwhile has none. All are placed in one transaction: a
        batch of an import is of a dozen new conversations, and each flush waits for the disk.
        """
        keys = list(conversation_keys)
        with self._log.read() as snapshot:
            found = snapshot.placements.of_conversations(keys)
        homeless = [key for key in keys if not self._has_room(found.get(key))]
        if homeless:
            with self._log.write() as transaction:
                homes, found_now = (
                    transaction.placements.homes(homeless),
                    transaction.placements.of_conversations(homeless),
                )
                for key in homeless:
                    if key in homes:
                        found[key] = self._place(transaction, key, homes[key], found_now.get(key))
                    else:
                        found.pop(key, None)
        return found

    def _has_room(self, placed: Collection | None) -> bool:
        return placed is not None and (
            placed.conversation_key is not None or placed.vectors <= self._capacity
        )

    def _place(
        self, transaction: WriteTransaction, key: int, home: Home, placed: Collection | None
    ) -> Collection:
        own_share, needed = self._capacity // 2, home.passages
        if needed > own_share:
            chosen = transaction.collections.create(home.project_key, key)
        else:
            # Room for all of it: where only its first batch fits, it would have to move again.
            chosen = transaction.collections.with_room(
                home.project_key, home.user_key, below=self._capacity - needed + 1
            ) or transaction.collections.create(home.project_key, None)
        if placed is None:
            transaction.placements.place(key, chosen, needed)
        elif placed.key != chosen.key:
            transaction.placements.move(key, placed, chosen, needed)
        return chosen
