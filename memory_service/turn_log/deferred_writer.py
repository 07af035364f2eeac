"""Deferred writes: small writes that no request waits for, and that a crash may lose.

Traces and prompt states are such. Waiting for them would cost each request a disk flush; prompts
are built without them too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import structlog

from memory_service.core.errors import ServiceError
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import WriteTransaction

logger = structlog.get_logger(__name__)

MAX_WAITING = 10_000
"""Writes that may wait; the oldest are dropped beyond that."""

_BATCH = 500
_PAUSE_SECONDS = 0.25

Task = Callable[[WriteTransaction], None]


class DeferredWriter:
    """One thread that writes small rows in batches."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log
        self._tasks: deque[Task] = deque(maxlen=MAX_WAITING)
        self._stopping = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="deferred-writer", daemon=True)

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Write everything that waits and end the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def submit(self, task: Task) -> None:
        """Write soon; tasks run in the order of submission."""
        self._tasks.append(task)

    def flush(self) -> None:
        """Write everything that waits, now."""
        with self._flushing:
            while self._tasks:
                tasks = [self._tasks.popleft() for _ in range(min(_BATCH, len(self._tasks)))]
                self._write(tasks)

    def _write(self, tasks: list[Task]) -> None:
        try:
            with self._log.write() as transaction:
                for task in tasks:
                    task(transaction)
        except ServiceError as error:
            logger.warning("traces were not written", error=error.message, count=len(tasks))

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            self.flush()
