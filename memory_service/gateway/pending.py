"""Pending turns: stored turns whose answer a request is waiting for. Safe for threads.

They are known to this process alone. Other requests do not see them in their prompts, and do not
take them out of the active branch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from weakref import WeakSet


class PendingTurns:
    """The turns that requests wait for the answers of, by conversation."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._requests: dict[int, WeakSet[PendingRequest]] = {}

    def add(self, conversation_key: int, turn_keys: Iterable[int]) -> PendingRequest:
        """Add the turns of a request until it has ended."""
        request = PendingRequest(self, conversation_key, frozenset(turn_keys))
        with self._guard:
            self._requests = {key: waiting for key, waiting in self._requests.items() if waiting}
            self._requests.setdefault(conversation_key, WeakSet()).add(request)
        return request

    def keys(self, conversation_key: int) -> frozenset[int]:
        """Return the keys of the pending turns of a conversation."""
        with self._guard:
            requests = list(self._requests.get(conversation_key, ()))
        return frozenset(key for request in requests for key in request.turn_keys)

    def remove(self, request: PendingRequest) -> None:
        """Remove the turns of a request; it may be called again."""
        with self._guard:
            self._requests.get(request.conversation_key, WeakSet()).discard(request)


class PendingRequest:
    """A request that waits for an answer to some turns.

    It has ended at the latest when nothing refers to it any more: a request can be cancelled at any
    point.
    """

    def __init__(
        self, registry: PendingTurns, conversation_key: int, turn_keys: frozenset[int]
    ) -> None:
        self.conversation_key = conversation_key
        self.turn_keys = turn_keys
        self._registry = registry

    def others(self) -> frozenset[int]:
        """Return the pending turns of the other requests in the conversation."""
        return self._registry.keys(self.conversation_key) - self.turn_keys

    def end(self) -> None:
        """End it: its answer is stored, or will never come."""
        self._registry.remove(self)
