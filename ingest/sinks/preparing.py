"""Prepares batches of transcripts before they are stored: token counts, passages and vectors.

Embedding, analysing and counting tokens is half of the work of ingesting. For a large export a
child process does it, so that the models, which take 120 MB, are in memory only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from memory_service.conversations.preparation import PreparedTurns, TurnPreparer
from memory_service.core.models import NewTurn
from memory_service.core.settings import Settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.subprocesses.child_process import ChildEnded, ChildProcess
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import counter_of

MIN_CHILD_BYTES = 8_000_000
"""Size of an export from which a child process is used: it takes a second to start, in which one
process alone stores a megabyte."""

MAX_PREPARED_TURNS = 1_000
"""The most turns of one transcript to prepare: a prepared turn takes 5 kB. Later turns are prepared
when they are stored."""

_CHILD = "ingest.sinks.preparing_child"


class PreparationTask(NamedTuple):
    """The turns of a transcript; without `wants_preparation` only their tokens are counted."""

    turns: Sequence[NewTurn]
    wants_preparation: bool


class PreparedBatch(NamedTuple):
    """The tokens of a batch, the counter's name, and the prepared turns of each task, if any."""

    tokens: int
    counter: str
    prepared_turns: Sequence[PreparedTurns | None]


class BatchPreparer:
    """Prepares batches in the calling thread."""

    def __init__(self, preparer: TurnPreparer, counter: TokenCounter) -> None:
        self._preparer = preparer
        self._counter = counter

    @classmethod
    def of(cls, settings: Settings) -> BatchPreparer:
        """Return the preparer that matches a service with these settings."""
        # Any other embedder is called by the indexer, after the turns are stored.
        embedder = LocalEmbedder() if settings.embedder == "local" else None
        preparer = TurnPreparer(
            embedder,
            passage_words=settings.passage_words,
            passage_overlap_words=settings.passage_overlap_words,
        )
        return cls(preparer, counter_of(settings, None))

    def prepare(self, tasks: Sequence[PreparationTask]) -> PreparedBatch:
        """Return the tokens and the prepared turns of a batch."""
        return PreparedBatch(
            sum(self._counter.count(turn.text) for task in tasks for turn in task.turns),
            self._counter.name,
            [
                self._preparer.prepare(task.turns[:MAX_PREPARED_TURNS])
                if task.wants_preparation
                else None
                for task in tasks
            ],
        )


class PreparationQueue:
    """Prepares batches in the order of submission: in a child process, or in the calling thread."""

    def __init__(self, settings: Settings, *, in_child: bool) -> None:
        self._settings = settings
        self._preparer: BatchPreparer | None = None
        self._child = ChildProcess(_CHILD, settings) if in_child else None

    def submit(self, tasks: Sequence[PreparationTask]) -> Future[PreparedBatch]:
        """Return the future of a prepared batch; without a child it is done already."""
        if self._child is not None:
            return self._child.submit("prepare", (tasks,))
        done: Future[PreparedBatch] = Future()
        done.set_result(self._prepare_here(tasks))
        return done

    def result(
        self, tasks: Sequence[PreparationTask], future: Future[PreparedBatch]
    ) -> PreparedBatch:
        """Return the prepared batch; if the child has ended (out of memory), prepare it here."""
        try:
            return future.result()
        except ChildEnded:
            return self._prepare_here(tasks)

    @property
    def child_pid(self) -> int | None:
        """The id of the child process, if there is one."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the child; its unfinished work is not needed."""
        if self._child is not None:
            self._child.kill()

    def _prepare_here(self, tasks: Sequence[PreparationTask]) -> PreparedBatch:
        if self._preparer is None:
            self._preparer = BatchPreparer.of(self._settings)
        return self._preparer.prepare(tasks)
