"""Shows the progress of an ingestion: a bar on a terminal, elsewhere a line every 10 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_SECONDS = 10.0


class ProgressDisplay(Protocol):
    """Shows how much is done."""

    def reading(self, done: int, total: int, turns: int) -> None:
        """Show how many bytes of how many are read, and how many turns are stored."""

    def indexing(self, lag: int) -> None:
        """Show how many vectors are not indexed yet."""


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Reading and storing", total=None, turns=0, rate=0)
        self._began = time.monotonic()
        self._max_lag = 0

    def reading(self, done: int, total: int, turns: int) -> None:
        rate = turns / max(time.monotonic() - self._began, 0.001)
        self._progress.update(self._task, completed=done, total=total, turns=turns, rate=rate)

    def indexing(self, lag: int) -> None:
        self._max_lag = max(self._max_lag, lag)
        self._progress.update(
            self._task, description="Indexing", completed=self._max_lag - lag, total=self._max_lag
        )


class _Lines:
    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._began = self._printed = clock()

    def reading(self, done: int, total: int, turns: int) -> None:
        if self._is_time():
            passed = self._printed - self._began
            left = passed / done * (total - done) if 0 < done <= total else 0
            self._console.print(
                f"{turns:,} turns stored, {turns / passed:,.0f} turns/s, about {left:,.0f} s left"
            )

    def indexing(self, lag: int) -> None:
        if self._is_time():
            self._console.print(f"Indexing, {lag:,} vectors left")

    def _is_time(self) -> bool:
        now = self._clock()
        if now - self._printed < _LINE_SECONDS:
            return False
        self._printed = now
        return True


class _Quiet:
    def reading(self, done: int, total: int, turns: int) -> None:
        pass

    def indexing(self, lag: int) -> None:
        pass


@contextmanager
def show_progress(
    console: Console, *, quiet: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[ProgressDisplay]:
    """Show progress on a console, which should be that of standard error."""
    if quiet:
        yield _Quiet()
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[turns]:,} turns stored, {task.fields[rate]:,.0f} turns/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
        ) as bar:
            yield _Bar(bar)
    else:
        yield _Lines(console, clock)
