"""Chroma in a process of its own: the parent's side, which is a `VectorIndex` like any other."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import structlog

from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import Matrix, Vector
from memory_service.subprocesses.child_process import ChildEnded, ChildProcess

logger = structlog.get_logger(__name__)

START_SECONDS = 60.0
READ_SECONDS = 10.0
WRITE_SECONDS = 120.0
"""A full disk can make an `add` hang for ever; after this the child is replaced."""
COMPACT_SECONDS = 1_800.0
"""Rewriting Chroma's database takes about ten seconds a gigabyte on a slow disk."""

WRITES = frozenset({"upsert", "delete", "drop", "compact"})
"""What one thread of the child does in the order it comes; all else may overtake it.

After one of these failed, the child is replaced.
"""

# Not imported: chromadb takes 29 MB, and only the child needs it.
_CHILD = "memory_service.chroma.child"


class _TimedOutError(VectorIndexDown):
    """No answer came in time: the child may hang."""


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
        restart_vectors: int = 0,
    ) -> None:
        self._folder = folder
        self._hello = str(folder), embedder, dimension
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._restart_vectors = restart_vectors
        self._written = 0
        self._replacing = threading.Lock()
        self._closed = False
        self._child: ChildProcess | None = None
        try:
            self._alive()
        except VectorIndexDown as error:
            logger.warning("the vector index cannot be opened", error=error.message)

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""
        self._start_anew(len(keys))
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

    def _start_anew(self, more: int) -> None:
        """End a child that has taken in enough; Chroma keeps each collection it ever opened.

        Whoever asks it something at that moment is told that it has stopped.
        """
        with self._replacing:
            self._written += more
            if self._child is None or not 0 < self._restart_vectors < self._written:
                return
            self._written = more
            self._child.end()
            self._child = None

    def _read(self, name: str, *arguments: Any) -> Any:
        return self._call(name, arguments, self._read_seconds)

    def _write(self, name: str, *arguments: Any) -> None:
        self._call(name, arguments, self._write_seconds)

    def _call(self, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        child = self._alive()
        try:
            return _result(child.submit(name, arguments), seconds)
        except VectorIndexDown as error:
            # After an error of the disk the next write hangs for ever: better a new child at once.
            if name in WRITES or (isinstance(error, _TimedOutError) and not self._answers(child)):
                logger.warning("the vector index failed and is replaced", error=error.message)
                child.kill()
            raise

    def _answers(self, child: ChildProcess) -> bool:
        try:
            _result(child.submit("ping", ()), self._read_seconds)
        except VectorIndexDown:
            return False
        return True

    def _alive(self) -> ChildProcess:
        """Return a running child, starting another if the last one died."""
        with self._replacing:
            if self._closed:
                raise VectorIndexDown("The vector index is closed.")
            if self._child is not None and self._child.is_alive:
                return self._child
            if self._child is not None:
                logger.warning("the vector index had stopped and is started again")
                self._child.kill()
            self._child = ChildProcess(_CHILD, self._hello)
            try:
                _result(self._child.ready, START_SECONDS)
            except VectorIndexDown:
                self._child.kill()
                self._child = None
                raise
            return self._child


def _result(future: Future[Any], seconds: float) -> Any:
    try:
        return future.result(seconds)
    except FutureTimeoutError as error:
        raise _TimedOutError(f"The vector index did not answer in {seconds:g} s.") from error
    except ChildEnded as error:
        raise VectorIndexDown("The vector index has stopped.") from error
