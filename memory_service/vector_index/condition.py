"""The condition of the indexer: what keeps it from its work at the moment."""

from __future__ import annotations

import time

import structlog

from memory_service.core.errors import ServiceError
from memory_service.vector_index.retry_policy import RetryPolicy

logger = structlog.get_logger(__name__)


class IndexerCondition:
    """What keeps the indexer from its work; written by its thread, read by any."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._problem: str | None = None
        self._embedder_rests_until = 0.0
        self._pause = policy.pause_seconds

    @property
    def problem(self) -> str | None:
        """The message of what went wrong last, None when it works."""
        return self._problem

    @property
    def embedder_rests(self) -> bool:
        """Whether the embedder is not to be asked yet."""
        return time.monotonic() < self._embedder_rests_until

    def note(self, event: str, error: ServiceError) -> None:
        """Log a failure and record its message as the problem."""
        logger.warning(event, error=error.message)
        self._problem = error.message

    def note_bug(self, bug: Exception) -> None:
        """Record an unexpected error as the problem."""
        self._problem = f"A bug in the indexer: {type(bug).__name__}."

    def rest_embedder(self, seconds: float) -> None:
        """Let changes that need the embedder wait."""
        self._embedder_rests_until = time.monotonic() + seconds

    def next_outage_pause(self) -> float:
        """Return how long to wait while the index is down, longer each time."""
        pause = self._pause
        self._pause = self._policy.longer(pause)
        return pause

    def succeeded(self) -> None:
        """Note that the index has taken a change: it is up again."""
        self._pause = self._policy.pause_seconds
        self.clear()

    def clear(self) -> None:
        """Clear the last problem, unless the embedder still rests because of it."""
        if not self.embedder_rests:
            self._problem = None
