"""Chroma in a process of its own: the parent's side, which is a `VectorIndex` like any other."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from memory_service.chroma_child import receive, send
from memory_service.errors import VectorIndexDown
from memory_service.records import Matrix, Vector

log_line = structlog.get_logger(__name__)

START_SECONDS = 60.0
READ_SECONDS = 10.0
WRITE_SECONDS = 120.0
"""A full disk can make an `add` hang for ever; after this the child is replaced."""

_END_SECONDS = 30.0
# The child finds this package where the parent has it, installed or not.
_ROOT = str(Path(__file__).parents[1])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from memory_service.chroma_child import main; main()"
)


class _Child:
    """One running child, and the requests it has not answered."""

    def __init__(self, folder: Path, embedder: str, dimension: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._waiting: dict[int, Future[Any]] = {}
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._ready: Future[Any] = Future()
        self._waiting[0] = self._ready
        send(self._stdin, (str(folder), embedder, dimension))
        self._reader = threading.Thread(target=self._read, name="chroma-answers", daemon=True)
        self._reader.start()

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer."""
        return self._process.poll() is None and self._reader.is_alive()

    def wait_until_ready(self) -> None:
        """Return once Chroma is open; raises VectorIndexDown if it cannot be."""
        self._result(self._ready, START_SECONDS)

    def call(self, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        """Return what the child's index returns; raises VectorIndexDown."""
        future: Future[Any] = Future()
        with self._sending:
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                send(self._stdin, (number, name, arguments))
            except OSError as error:
                raise VectorIndexDown("The vector index has stopped.") from error
        return self._result(future, seconds)

    def end(self) -> None:
        """Let it finish what it does and end; kill it if it does not."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._release()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._release()

    def _release(self) -> None:
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            # What a dead child has not read cannot be flushed.
            with suppress(OSError):
                if stream is not None:
                    stream.close()

    def _read(self) -> None:
        stdout: Any = self._process.stdout
        try:
            while True:
                number, result = receive(stdout)
                future = self._waiting.pop(number, None)
                if future is None:
                    continue
                if isinstance(result, VectorIndexDown):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        except EOFError:
            stopped = VectorIndexDown("The vector index has stopped.")
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(stopped)

    def _result(self, future: Future[Any], seconds: float) -> Any:
        try:
            return future.result(seconds)
        except FutureTimeoutError as error:
            raise VectorIndexDown(f"The vector index did not answer in {seconds:g} s.") from error


class ChromaProcess:
    """A `VectorIndex` whose Chroma is in a child; a child that died or hangs is replaced."""

    def __init__(self, folder: Path, *, embedder: str, dimension: int) -> None:
        self._arguments = folder, embedder, dimension
        self._replacing = threading.Lock()
        self._closed = False
        self._child = _Child(*self._arguments)
        self._child.wait_until_ready()

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""
        self._write("upsert", collection, list(keys), list(groups), vectors)

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are no error."""
        self._write("delete", collection, list(keys))

    def drop(self, collection: int) -> None:
        """Remove a collection; an unknown one is no error."""
        self._write("drop", collection)

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarity of the nearest keys of some groups, or of all."""
        found: Mapping[int, float] = self._alive().call(
            "query", (collection, vector, groups, limit), READ_SECONDS
        )
        return found

    def exists(self, collection: int) -> bool:
        """Return whether there is such a collection."""
        return bool(self._alive().call("exists", (collection,), READ_SECONDS))

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""
        found: set[int] = self._alive().call("keys", (collection,), WRITE_SECONDS)
        return found

    def kill_child(self) -> None:
        """End the child at once, as a crash would; the next call starts another."""
        self._child.kill()

    def close(self) -> None:
        """Let the child finish and end."""
        with self._replacing:
            self._closed = True
            self._child.end()

    def _write(self, name: str, *arguments: Any) -> None:
        child = self._alive()
        try:
            child.call(name, arguments, WRITE_SECONDS)
        except VectorIndexDown as error:
            if child.is_alive and not self._answers(child):
                log_line.warning("the vector index hangs and is replaced", error=error.message)
                child.kill()
            raise

    def _answers(self, child: _Child) -> bool:
        try:
            child.call("ping", (), READ_SECONDS)
        except VectorIndexDown:
            return False
        return True

    def _alive(self) -> _Child:
        """Return a running child, starting another if the last one died."""
        with self._replacing:
            if self._closed:
                raise VectorIndexDown("The vector index is closed.")
            if not self._child.is_alive:
                log_line.warning("the vector index had stopped and is started again")
                self._child.kill()
                self._child = _Child(*self._arguments)
                self._child.wait_until_ready()
            return self._child
