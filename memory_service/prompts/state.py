"""Prompt states: how each conversation's last prompt was built.

A state is kept in memory and written after the request. If a state is lost, the next prompt only
misses the provider's prefix cache.
"""

from __future__ import annotations

import threading

from cachetools import LRUCache

from memory_service.core.models import PromptState, RecalledSpan
from memory_service.prompts.frame import PromptFrame
from memory_service.prompts.layout import PromptLayout
from memory_service.prompts.recalled_turns import LeftOut
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.transactions import ReadTransaction

MAX_IN_MEMORY = 10_000


class PromptStates:
    """The states of conversations by key; those used last are in memory."""

    def __init__(self, deferred_writer: DeferredWriter) -> None:
        self._deferred_writer = deferred_writer
        self._lock = threading.Lock()
        self._states: LRUCache[int, PromptState] = LRUCache(MAX_IN_MEMORY)

    def get(self, snapshot: ReadTransaction, conversation_key: int) -> PromptState:
        """Return the state of a conversation; an empty one if it never had a prompt."""
        with self._lock:
            state = self._states.get(conversation_key)
        return state or snapshot.prompt_states.get(conversation_key) or PromptState()

    def set(self, conversation_key: int, state: PromptState) -> None:
        """Keep a state in memory, and have it written soon."""
        with self._lock:
            self._states[conversation_key] = state
        self._deferred_writer.submit(
            lambda transaction: transaction.prompt_states.set(conversation_key, state)
        )


def next_state(frame: PromptFrame, layout: PromptLayout, left_out: LeftOut) -> PromptState:
    """Return the state after a prompt; `left_out` are the recalled turns that it leaves out."""
    identity = frame.identity
    return PromptState(
        window_seq=layout.window.first_seq,
        input_parent_key=None if identity is None else identity.parent_key,
        input_hash=None if identity is None else identity.digest,
        recalled=tuple(RecalledSpan.of(hit) for hit in layout.choice.hits),
        left_out=left_out,
        model=frame.request.model or frame.state.model,
        summaries=tuple(summary.key for summary in layout.summaries.remembered),
    )
