"""How each conversation's last prompt was built: in memory, and written behind the requests."""

from __future__ import annotations

import threading
from collections import OrderedDict

from memory_service.core.models import PromptState
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.transactions import ReadTransaction

MAX_IN_MEMORY = 10_000


class PromptStates:
    """The states of conversations by key; a lost one only costs a provider's cache a hit."""

    def __init__(self, later: DeferredWriter) -> None:
        self._later = later
        self._lock = threading.Lock()
        self._states: OrderedDict[int, PromptState] = OrderedDict()

    def get(self, snapshot: ReadTransaction, conversation_key: int) -> PromptState:
        """Return the state of a conversation; an empty one if it never had a prompt."""
        with self._lock:
            known = self._states.get(conversation_key)
            if known is not None:
                self._states.move_to_end(conversation_key)
                return known
        return snapshot.prompt_states.get(conversation_key) or PromptState()

    def set(self, conversation_key: int, state: PromptState) -> None:
        """Remember a state; it is written soon."""
        with self._lock:
            self._states[conversation_key] = state
            self._states.move_to_end(conversation_key)
            while len(self._states) > MAX_IN_MEMORY:
                self._states.popitem(last=False)
        self._later.submit(
            lambda transaction: transaction.prompt_states.set(conversation_key, state)
        )
