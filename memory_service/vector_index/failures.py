"""Failures of the index: finding the cause of a failed change.

A damaged collection is repaired. An index that takes no writes at all is waited for. Only a change
that fails where others succeed is counted as failed, and parked after too many attempts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from memory_service.core import clock
from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import QueuedChange
from memory_service.turn_log.log import TurnLog
from memory_service.vector_index.condition import IndexerCondition
from memory_service.vector_index.repair import IndexRepair
from memory_service.vector_index.retry_policy import RetryPolicy

logger = structlog.get_logger(__name__)

Change = TypeVar("Change", bound=QueuedChange)


class FailureHandler:
    """Runs work on the index, and finds the cause where it fails.

    `stopping` ends the pauses after failures; `before_repair` is called before a collection is
    repaired, so that an erasure that is running leaves it alone.
    """

    def __init__(
        self,
        log: TurnLog,
        repair: IndexRepair,
        condition: IndexerCondition,
        policy: RetryPolicy,
        *,
        stopping: threading.Event,
        before_repair: Callable[[], None],
    ) -> None:
        self._log = log
        self._repair = repair
        self._condition = condition
        self._policy = policy
        self._stopping = stopping
        self._before_repair = before_repair

    def attempt(
        self,
        collection_key: int,
        changes: Sequence[Change],
        work: Callable[[Sequence[Change]], None],
    ) -> bool:
        """Do work on a collection; return whether the changes after these are worth trying."""
        try:
            work(changes)
        except VectorIndexDown as error:
            if self.repair(collection_key):
                return True
            if not self._repair.takes_writes():
                self._condition.note("the vector index takes no writes", error)
                self._stopping.wait(self._condition.next_outage_pause())
                return False
            if len(changes) > 1:
                return all(self.attempt(collection_key, [change], work) for change in changes)
            self.count(changes[0], error.message)
            self.pause()
        return True

    def repair(self, collection_key: int) -> bool:
        """Repair a collection if it needs that; return whether it did."""
        # The log does not have the copies of a running erasure: the repair would drop them.
        self._before_repair()
        return self._repair.mend(collection_key)

    def count(self, change: QueuedChange, message: str) -> None:
        """Count a failed attempt; a change with too many of them is parked."""
        parks = self._policy.parks(change.attempts)
        logger.warning("a change could not be indexed", error=message, parked=parks)
        with self._log.write() as transaction:
            transaction.index_queue.fail(
                [change.queue_key], message, parked_at=clock.now() if parks else None
            )

    def pause(self) -> None:
        """Wait a moment after a failure, or until the indexer stops."""
        self._stopping.wait(self._policy.pause_seconds)
