"""What is worked out of transcripts before they are stored: here, or in a process beside this one.

Embedding, analysing and counting tokens is half of the work of ingesting. Of a large export it is
done by another process, which also has the memory for it: the models take 120 MB.
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

WORTH_A_PROCESS_BYTES = 8_000_000
"""It takes a second to start, in which a process alone stores a megabyte."""

MAX_PLANNED_TURNS = 1_000
"""Of one transcript; a plan takes 5 kB a turn. Those after are planned as they are stored."""

_CHILD = "ingest.preparing_child"


class Task(NamedTuple):
    """The turns of a transcript; without the wish for a plan only their tokens are counted."""

    turns: Sequence[NewTurn]
    wants_plan: bool


class Prepared(NamedTuple):
    """The tokens of a batch of transcripts and who counted them; a plan for each that wants one."""

    tokens: int
    counter: str
    plans: Sequence[PreparedTurns | None]


class Preparer:
    """Does the work in the calling thread."""

    def __init__(self, planner: TurnPreparer, counter: TokenCounter) -> None:
        self._planner = planner
        self._counter = counter

    @classmethod
    def of(cls, settings: Settings) -> Preparer:
        """Return the one that fits a service with these settings."""
        # Any other embedder is asked by the indexer, when the turns are stored.
        embedder = LocalEmbedder() if settings.embedder == "local" else None
        planner = TurnPreparer(
            embedder,
            passage_words=settings.passage_words,
            passage_overlap_words=settings.passage_overlap_words,
        )
        return cls(planner, counter_of(settings, None))

    def prepare(self, tasks: Sequence[Task]) -> Prepared:
        """Return what is to be known of a batch."""
        return Prepared(
            sum(self._counter.count(turn.text) for task in tasks for turn in task.turns),
            self._counter.name,
            [
                self._planner.prepare(task.turns[:MAX_PLANNED_TURNS]) if task.wants_plan else None
                for task in tasks
            ],
        )


class Preparation:
    """Answers in the order it is asked; `beside` this process, or in the thread that asks."""

    def __init__(self, settings: Settings, *, beside: bool) -> None:
        self._settings = settings
        self._here: Preparer | None = None
        self._child = ChildProcess(_CHILD, settings) if beside else None

    def submit(self, tasks: Sequence[Task]) -> Future[Prepared]:
        """Return what a batch comes to, or will come to."""
        if self._child is not None:
            return self._child.submit("prepare", (tasks,))
        done: Future[Prepared] = Future()
        done.set_result(self._in_this_thread(tasks))
        return done

    def result(self, tasks: Sequence[Task], future: Future[Prepared]) -> Prepared:
        """Return the answer; where the process has ended (too little memory), it is made here."""
        try:
            return future.result()
        except ChildEnded:
            return self._in_this_thread(tasks)

    @property
    def child_pid(self) -> int | None:
        """The process beside, if there is one."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the process; what it still works on is not wanted."""
        if self._child is not None:
            self._child.kill()

    def _in_this_thread(self, tasks: Sequence[Task]) -> Prepared:
        if self._here is None:
            self._here = Preparer.of(self._settings)
        return self._here.prepare(tasks)
