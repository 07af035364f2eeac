"""The schedule of the summary threads: which conversation is next, and which tasks must wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from memory_service.core.models import QueuedConversation
from memory_service.summaries.planner import TaskId

SET_ASIDE_SECONDS = 600.0
"""A refused task is tried again after this time: the model may have been loaded meanwhile."""


class SummarySchedule:
    """Gives each conversation to one thread at a time, and sets refused tasks aside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        self._last_served: dict[int, int] = {}
        self._set_aside_until: dict[TaskId, float] = {}
        self._resting_until: dict[int, float] = {}

    def take(self, queue: Sequence[QueuedConversation]) -> QueuedConversation | None:
        """Return the queued conversation that was served longest ago; None if all are taken."""
        now = time.monotonic()
        with self._lock:
            free = [queued for queued in queue if self._is_free(queued.conversation_key, now)]
            if not free:
                return None
            # Conversations that have left the queue are removed here.
            self._last_served = {
                queued.conversation_key: self._last_served.get(queued.conversation_key, 0)
                for queued in queue
            }
            taken = min(free, key=lambda queued: self._last_served[queued.conversation_key])
            self._last_served[taken.conversation_key] = 1 + max(self._last_served.values())
            self._busy.add(taken.conversation_key)
        return taken

    def give_back(self, conversation_key: int) -> None:
        """Let other threads take a conversation."""
        with self._lock:
            self._busy.discard(conversation_key)

    def set_aside(self, task_id: TaskId) -> None:
        """Set a task aside for a while."""
        with self._lock:
            self._set_aside_until[task_id] = time.monotonic() + SET_ASIDE_SECONDS

    def tasks_set_aside(self) -> frozenset[TaskId]:
        """Return the tasks that are set aside now."""
        now = time.monotonic()
        with self._lock:
            self._set_aside_until = {
                task_id: until for task_id, until in self._set_aside_until.items() if until > now
            }
            return frozenset(self._set_aside_until)

    def rest(self, conversation_key: int) -> bool:
        """Pause a conversation while one of its tasks is set aside; return whether one is."""
        with self._lock:
            ends = [
                until
                for task_id, until in self._set_aside_until.items()
                if task_id.conversation_key == conversation_key
            ]
            if ends:
                self._resting_until[conversation_key] = min(ends)
            else:
                self._resting_until.pop(conversation_key, None)
            return bool(ends)

    def _is_free(self, conversation_key: int, now: float) -> bool:
        is_rested = self._resting_until.get(conversation_key, now) <= now
        return is_rested and conversation_key not in self._busy
