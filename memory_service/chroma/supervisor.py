"""The supervisor of the child process that owns Chroma's folder.

One background thread starts, checks, ends and replaces the child, one thing after the other. A
start takes up to 60 s and an end up to 30 s; a thread that needs a child sets its own time limit
and holds no lock while it waits.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from memory_service.core.errors import VectorIndexDown
from memory_service.subprocesses.child_process import ChildEnded, ChildProcess

logger = structlog.get_logger(__name__)

START_SECONDS = 60.0


class TimedOutError(VectorIndexDown):
    """No answer came in time: the child may hang."""


class ChildSupervisor:
    """Keeps one child process running; safe for several threads.

    Its state is one future, `_current`: the child to use. The future is pending while the
    background thread works on the child, and holds an error if the last start failed. `_lock` is
    only held to read or exchange this future, never while a process is waited for.
    """

    def __init__(self, module: str, hello: Any, *, ping_seconds: float) -> None:
        """Begin to start a child; `module` and `hello` are those of `ChildProcess`."""
        self._module = module
        self._hello = hello
        self._ping_seconds = ping_seconds
        self._lock = threading.Lock()
        self._is_closed = False
        self._newest: ChildProcess | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chroma-supervisor")
        self._current = self._thread.submit(self._start)

    @property
    def pid(self) -> int | None:
        """The number of the newest child's process, if there has been one."""
        newest = self._newest
        return None if newest is None else newest.pid

    def child(self, seconds: float | None = None) -> ChildProcess:
        """Return a running child; one that died, or did not start, is first replaced.

        Waits at most `seconds`, or until the background thread has finished; raises
        VectorIndexDown if there is no child by then.
        """
        try:
            return self._usable().result(seconds)
        except TimeoutError as error:
            raise TimedOutError(
                f"The vector index was not ready in {seconds:g} s: its process is being replaced."
            ) from error
        except VectorIndexDown as error:
            # Several threads may wait for one future: each gets an error of its own.
            raise VectorIndexDown(error.message) from error

    def replace(self, child: ChildProcess) -> None:
        """Kill a child and start another, in the background."""
        self._change(child, self._replaced)

    def check(self, child: ChildProcess) -> None:
        """Replace a child if it does not answer a ping, in the background."""
        self._change(child, self._checked)

    def restart(self) -> None:
        """Let the running child finish, end it and start another, in the background."""
        self._change(self._running(), self._restarted)

    def empty(self, folder: Path) -> None:
        """Kill the child, remove the folder and start another child; wait until it is removed."""
        with self._lock:
            self._refuse_if_closed()
            removal = self._thread.submit(self._remove, folder, self._current)
            self._current = self._thread.submit(self._start)
        removal.result()

    def close(self) -> None:
        """Let the child finish and end it; no thread gets a child afterwards."""
        with self._lock:
            self._is_closed = True
            newest = self._newest
        if newest is not None:
            newest.end()
        self._thread.shutdown()

    def _usable(self) -> Future[ChildProcess]:
        """Return the future of a child, which may still be running in the background thread."""
        with self._lock:
            self._refuse_if_closed()
            if self._current.done():
                child = self._running()
                if child is None:
                    self._current = self._thread.submit(self._start)
                elif not child.is_alive:
                    self._current = self._thread.submit(self._resumed, child)
            return self._current

    def _change(
        self, child: ChildProcess | None, change: Callable[[ChildProcess], ChildProcess]
    ) -> None:
        """Hand the child to the background thread, unless another thread has already done so."""
        with self._lock:
            if child is not None and child is self._running() and not self._is_closed:
                self._current = self._thread.submit(change, child)

    def _running(self) -> ChildProcess | None:
        """Return the child that is in use; None while the background thread works on it."""
        return _result_if_any(self._current)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise VectorIndexDown("The vector index is closed.")

    def _start(self) -> ChildProcess:
        self._refuse_if_closed()
        try:
            child = ChildProcess(self._module, self._hello)
        except OSError as error:
            raise VectorIndexDown(
                f"The process of the vector index cannot be started: {error.strerror}."
            ) from error
        with self._lock:
            self._newest = child
            is_closed = self._is_closed
        if is_closed:
            child.end()
        try:
            answer_of(child.ready, START_SECONDS)
        except VectorIndexDown:
            child.kill()
            raise
        return child

    def _resumed(self, child: ChildProcess) -> ChildProcess:
        logger.warning("the vector index had stopped and is started again")
        return self._replaced(child)

    def _replaced(self, child: ChildProcess) -> ChildProcess:
        child.kill()
        return self._start()

    def _restarted(self, child: ChildProcess) -> ChildProcess:
        child.end()
        return self._start()

    def _checked(self, child: ChildProcess) -> ChildProcess:
        try:
            answer_of(child.submit("ping", ()), self._ping_seconds)
        except VectorIndexDown as error:
            logger.warning("the vector index hangs and is replaced", error=error.message)
            return self._replaced(child)
        return child

    def _remove(self, folder: Path, current: Future[ChildProcess]) -> None:
        """Remove the folder; `current` is done, since this thread does one thing at a time."""
        child = _result_if_any(current)
        if child is not None:
            child.kill()
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise VectorIndexDown(
                f"The folder {folder} cannot be removed: {error.strerror}."
            ) from error


def answer_of(answer: Future[Any], seconds: float) -> Any:
    """Return a child's answer; raises VectorIndexDown if it does not come in time, or at all."""
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise TimedOutError(
            f"The vector index did not answer in {round(seconds, 1):g} s."
        ) from error
    except ChildEnded as error:
        raise VectorIndexDown("The vector index has stopped.") from error


def _result_if_any(future: Future[ChildProcess]) -> ChildProcess | None:
    return future.result() if future.done() and future.exception() is None else None
