"""The worker: background threads that summarise the turns that have left the recent window.

A conversation is queued in the log when its window is cut, and when a deletion removed summaries.
No request waits for a summary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from memory_service.core.errors import (
    ChatModelDown,
    ChatModelRefused,
    EmbedderDown,
    EmbedderRefused,
    ServiceError,
)
from memory_service.core.models import QueuedConversation, SummaryStatus
from memory_service.core.protocols import ChatModel, Embedder
from memory_service.summaries.rules import SummaryRules
from memory_service.summaries.schedule import SummarySchedule
from memory_service.summaries.writer import SummaryWriter
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.log import TurnLog

logger = structlog.get_logger(__name__)

LONGEST_WAIT_SECONDS = 300.0
_IDLE_SECONDS = 1.0
_STOP_SECONDS = 2.0
"""A thread may wait longer than this for its model; the task is still in the log."""

_DOWN = (ChatModelDown, EmbedderDown)
_doubling = wait_exponential(multiplier=1.0, max=LONGEST_WAIT_SECONDS)


class Summarizer:
    """Threads that write summaries; each conversation is handled by one thread at a time."""

    def __init__(
        self,
        log: TurnLog,
        model: ChatModel,
        embedder: Embedder,
        counter: Callable[[str | None], TokenCounter],
        rules: SummaryRules,
        *,
        threads: int,
    ) -> None:
        self._log = log
        self._writer = SummaryWriter(log, model, embedder, counter, rules)
        self._schedule = SummarySchedule()
        self._stopping = threading.Event()
        self._error: str | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(_DOWN),
            wait=seconds_to_wait,
            stop=stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=_log_wait,
            retry_error_callback=lambda _: False,
        )
        self._threads = [
            threading.Thread(target=self._run, name=f"summarizer-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to work in the background."""
        for thread in self._threads:
            thread.start()

    @property
    def is_running(self) -> bool:
        """Whether one of the threads is alive."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End the threads; answers that a model gives later are discarded."""
        self._writer.close()
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def status(self) -> SummaryStatus:
        """Return how many conversations wait, and the last failure since the last success."""
        with self._log.read() as snapshot:
            waiting = len(snapshot.summary_queue.all())
        return SummaryStatus(waiting, len(self._schedule.tasks_set_aside()), self._error)

    def drain(self) -> None:
        """Work in the calling thread until there is no task, or the model or embedder is down."""
        with suppress(*_DOWN):
            while self.step():
                pass

    def step(self) -> bool:
        """Do the next task of the next conversation; return whether to continue at once.

        Raises ChatModelDown or EmbedderDown; the same step can then succeed later.
        """
        with self._log.read() as snapshot:
            queue = snapshot.summary_queue.all()
        queued = self._schedule.take(queue)
        if queued is None:
            return False
        try:
            if not self._advance(queued.conversation_key):
                self._finish(queued)
        except _DOWN as error:
            self._error = error.message
            logger.warning("a summary failed", error=error.message)
            raise
        finally:
            self._schedule.give_back(queued.conversation_key)
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                continues = self._retrying(self.step)
            except ServiceError as error:
                # The log is busy or full. Its queue still has the conversation.
                logger.warning("summarising waits for the log", error=error.message)
                continues = False
            if not continues:
                self._stopping.wait(_IDLE_SECONDS)

    def _advance(self, conversation_key: int) -> bool:
        """Do the next task of a conversation; return whether there was one."""
        task = self._writer.next_task(conversation_key, self._schedule.tasks_set_aside())
        if task is None:
            return False
        try:
            self._writer.perform(task)
        except (ChatModelRefused, EmbedderRefused) as error:
            self._schedule.set_aside(task.id)
            self._error = error.message
            logger.warning("a summary was refused", error=error.message, task=task.id)
        else:
            self._error = None
        return True

    def _finish(self, queued: QueuedConversation) -> None:
        """Remove a conversation from the queue, unless one of its tasks is set aside."""
        if self._schedule.rest(queued.conversation_key):
            return
        with self._log.write() as transaction:
            transaction.summary_queue.finish(queued)


def seconds_to_wait(state: RetryCallState) -> float:
    """Return the wait after a failure: 1, 2, 4 … 300 s, or longer if the server asks for it."""
    error = state.outcome.exception() if state.outcome else None
    asked_for = error.retry_after_seconds if isinstance(error, _DOWN) else None
    return min(LONGEST_WAIT_SECONDS, max(_doubling(state), asked_for or 0.0))


def _log_wait(state: RetryCallState) -> None:
    logger.warning("summaries wait", attempt=state.attempt_number, seconds=state.upcoming_sleep)
