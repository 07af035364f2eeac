"""Chroma in a process of its own: the parent's side, which is a `VectorIndex` like any other."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from memory_service.chroma_wire import WRITES, receive, send
from memory_service.errors import VectorIndexDown
from memory_service.records import Matrix, Vector

log_line = structlog.get_logger(__name__)

START_SECONDS = 60.0
READ_SECONDS = 10.0
WRITE_SECONDS = 120.0
"""A full disk can make an `add` hang for ever; after this the child is replaced."""
COMPACT_SECONDS = 1_800.0
"""Rewriting Chroma's database takes about ten seconds a gigabyte on a slow disk."""

_END_SECONDS = 30.0
_STOPPED = "The vector index has stopped."
# The child finds this package where the parent has it, installed or not.
_ROOT = str(Path(__file__).parents[1])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from memory_service.chroma_child import main; main()"
)


class _TimedOutError(VectorIndexDown):
    """No answer came in time: the child may hang."""


class _Child:
    """One running child, and the requests it has not answered."""

    def __init__(self, folder: Path, embedder: str, dimension: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._guard = threading.Lock()
        self._has_ended = False
        self._numbers = itertools.count(1)
        self._ready: Future[Any] = Future()
        self._waiting: dict[int, Future[Any]] = {0: self._ready}
        # A child that hangs reads nothing, and writing to a full pipe has no time limit: whoever
        # waits for an answer must not do it.
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._outbox.put((str(folder), embedder, dimension))
        self._threads = [
            threading.Thread(target=self._write, name="chroma-requests", daemon=True),
            threading.Thread(target=self._read, name="chroma-answers", daemon=True),
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

    def wait_until_ready(self) -> None:
        """Return once Chroma is open; raises VectorIndexDown if it cannot be."""
        self._result(self._ready, START_SECONDS)

    def call(self, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        """Return what the child's index returns; raises VectorIndexDown."""
        future: Future[Any] = Future()
        with self._guard:
            if self._has_ended:
                raise VectorIndexDown(_STOPPED)
            number = next(self._numbers)
            self._waiting[number] = future
        self._outbox.put((number, name, arguments))
        return self._result(future, seconds)

    def end(self) -> None:
        """Let it finish what it does and end; kill it if it does not."""
        self._outbox.put(None)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._release()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._release()

    def _release(self) -> None:
        self._process.wait()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        """Send requests until there are no more; what a dead child did not read is lost."""
        stdin: Any = self._process.stdin
        with suppress(OSError), stdin:
            while (request := self._outbox.get()) is not None:
                send(stdin, request)

    def _read(self) -> None:
        """Hand answers to those who wait for them, until the child has ended."""
        stdout: Any = self._process.stdout
        with suppress(EOFError), stdout:
            while True:
                number, result = receive(stdout)
                future = self._waiting.pop(number)
                if isinstance(result, VectorIndexDown):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        with self._guard:
            self._has_ended = True
        for future in self._waiting.values():
            future.set_exception(VectorIndexDown(_STOPPED))

    def _result(self, future: Future[Any], seconds: float) -> Any:
        try:
            return future.result(seconds)
        except FutureTimeoutError as error:
            raise _TimedOutError(f"The vector index did not answer in {seconds:g} s.") from error


class ChromaProcess:
    """A `VectorIndex` whose Chroma is in a child; one that died, hangs or cannot write is replaced.

    A folder that Chroma cannot open is no error here: each call raises VectorIndexDown until
    `reset` has made an empty one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: str,
        dimension: int,
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self._folder = folder
        self._arguments = folder, embedder, dimension
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._replacing = threading.Lock()
        self._closed = False
        self._child: _Child | None = None
        try:
            self._alive()
        except VectorIndexDown as error:
            log_line.warning("the vector index cannot be opened", error=error.message)

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""
        self._write("upsert", collection, list(keys), list(groups), vectors)

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are no error."""
        self._write("delete", collection, list(keys))

    def load(self, collection: int) -> None:
        """Bring a collection into memory; an unknown one is no error.

        A million vectors are a gigabyte to read: on a busy machine longer than a query may take.
        """
        self._call("load", (collection,), self._write_seconds)

    def drop(self, collection: int) -> None:
        """Remove a collection with its files; an unknown one is no error."""
        self._write("drop", collection)

    def compact(self) -> None:
        """Remove the bytes of vectors that belong to no collection any more from the files."""
        self._call("compact", (), COMPACT_SECONDS)

    def reset(self) -> None:
        """Remove everything, readable or not, and go on with an empty folder."""
        with self._replacing:
            if self._child is not None:
                self._child.kill()
                self._child = None
            try:
                if self._folder.exists():
                    shutil.rmtree(self._folder)
            except OSError as error:
                raise VectorIndexDown(
                    f"The folder {self._folder} cannot be removed: {error.strerror}."
                ) from error

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarity of the nearest keys of some groups, or of all."""
        found: Mapping[int, float] = self._read("query", collection, vector, groups, limit)
        return found

    def collections(self) -> set[int]:
        """Return the collections that there are."""
        found: set[int] = self._read("collections")
        return found

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""
        return int(self._read("count", collection))

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""
        found: set[int] = self._call("keys", (collection,), WRITE_SECONDS)
        return found

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of those keys that a collection holds."""
        found: Mapping[int, Vector] = self._read("vectors", collection, list(keys))
        return found

    @property
    def child_pid(self) -> int | None:
        """The process that owns the folder now, if there is one."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """Let the child finish and end."""
        with self._replacing:
            self._closed = True
            if self._child is not None:
                self._child.end()

    def _read(self, name: str, *arguments: Any) -> Any:
        return self._call(name, arguments, self._read_seconds)

    def _write(self, name: str, *arguments: Any) -> None:
        self._call(name, arguments, self._write_seconds)

    def _call(self, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        child = self._alive()
        try:
            return child.call(name, arguments, seconds)
        except VectorIndexDown as error:
            # After an error of the disk the next write hangs for ever: better a new child at once.
            if name in WRITES or (isinstance(error, _TimedOutError) and not self._answers(child)):
                log_line.warning("the vector index failed and is replaced", error=error.message)
                child.kill()
            raise

    def _answers(self, child: _Child) -> bool:
        try:
            child.call("ping", (), self._read_seconds)
        except VectorIndexDown:
            return False
        return True

    def _alive(self) -> _Child:
        """Return a running child, starting another if the last one died."""
        with self._replacing:
            if self._closed:
                raise VectorIndexDown("The vector index is closed.")
            if self._child is not None and self._child.is_alive:
                return self._child
            if self._child is not None:
                log_line.warning("the vector index had stopped and is started again")
                self._child.kill()
            self._child = _Child(*self._arguments)
            try:
                self._child.wait_until_ready()
            except VectorIndexDown:
                self._child.kill()
                self._child = None
                raise
            return self._child
