"""Where vectors go: small conversations share a collection, a large one has its own."""

from __future__ import annotations

from collections.abc import Iterable

from memory_service.interfaces import TurnLog
from memory_service.records import Collection
from memory_service.turn_log.log import Writer


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
        with self._log.read() as log:
            found = {key: log.placement(key) for key in conversation_keys}
        homeless = [key for key, placed in found.items() if not self._has_room(placed)]
        if homeless:
            with self._log.write() as log:
                found.update((key, self._place(log, key)) for key in homeless)
        return {key: placed for key, placed in found.items() if placed is not None}

    def _has_room(self, placed: Collection | None) -> bool:
        return placed is not None and (
            placed.conversation_key is not None or placed.vectors <= self._capacity
        )

    def _place(self, log: Writer, conversation_key: int) -> Collection | None:
        owner = log.project_of_conversation(conversation_key)
        if owner is None:
            return None
        project_key, user_key = owner
        placed = log.placement(conversation_key)
        own_share, needed = self._capacity // 2, log.passage_count(conversation_key)
        if needed > own_share:
            chosen = log.create_collection(project_key, conversation_key)
        else:
            # Room for all of it: where only its first batch fits, it would have to move again.
            chosen = log.collection_with_room(
                project_key, user_key, below=self._capacity - needed + 1
            ) or log.create_collection(project_key, None)
        if placed is None:
            log.place(conversation_key, chosen.key)
        elif placed.key != chosen.key:
            log.move(conversation_key, placed, chosen)
        return chosen
