"""The parent's side of a child process that answers calls, any number at a time."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from memory_service.core.errors import ServiceError
from memory_service.subprocesses.wire import receive, send

_END_SECONDS = 30.0
_KILLED_SECONDS = 10.0
"""A killed process whose disk hangs may stay: the kernel ends it after its last write."""
# The child finds this package where the parent has it, installed or not.
_ROOT = str(Path(__file__).parents[2])


class ChildEnded(ServiceError):
    """The process has ended: calls that it had not answered stay unanswered."""


class ChildProcess:
    """One running child, and the calls it has not answered.

    `module` has a function `main` that receives `hello` on standard input, sends `(0, None)` when
    it is ready, and then for each call `(number, name, arguments)` sends `(number, result)`; an
    exception as the result is raised at the caller. It ends with its input.
    """

    def __init__(self, module: str, hello: Any) -> None:
        program = f"import sys; sys.path.insert(0, {_ROOT!r}); from {module} import main; main()"
        self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._guard = threading.Lock()
        self._has_ended = False
        self._numbers = itertools.count(1)
        self.ready: Future[Any] = Future()
        self._waiting: dict[int, Future[Any]] = {0: self.ready}
        # A child that hangs does not read, and writing to a full pipe has no time limit: a thread
        # of its own writes, never the caller.
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._outbox.put(hello)
        self._threads = [
            threading.Thread(target=self._write, name="child-requests", daemon=True),
            threading.Thread(target=self._read, name="child-answers", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer."""
        return self._process.poll() is None and not self._has_ended

    def submit(self, name: str, arguments: Sequence[Any]) -> Future[Any]:
        """Return the future of the child's answer; it fails with ChildEnded if the child ends."""
        future: Future[Any] = Future()
        with self._guard:
            if self._has_ended:
                future.set_exception(ChildEnded("The process has ended."))
                return future
            number = next(self._numbers)
            self._waiting[number] = future
        self._outbox.put((number, name, arguments))
        return future

    def end(self) -> None:
        """Let it finish its calls and end; kill it if it has not ended after 30 s."""
        self._outbox.put(None)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._release()

    def kill(self) -> None:
        """Kill it and wait until it has ended, at most 10 s."""
        self._process.kill()
        self._release()

    def _release(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILLED_SECONDS)
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(_KILLED_SECONDS)

    def _write(self) -> None:
        """Send requests until None comes; requests that a dead child did not read are lost."""
        stdin: Any = self._process.stdin
        with suppress(OSError), stdin:
            while (request := self._outbox.get()) is not None:
                send(stdin, request)

    def _read(self) -> None:
        """Set the answers on the futures of their calls, until the child has ended."""
        stdout: Any = self._process.stdout
        with suppress(EOFError), stdout:
            while True:
                number, result = receive(stdout)
                future = self._waiting.pop(number)
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        with self._guard:
            self._has_ended = True
        for future in self._waiting.values():
            future.set_exception(ChildEnded("The process has ended."))
