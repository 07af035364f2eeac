"""The vector index whose Chroma runs in a child process: the parent's side."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from memory_service.chroma.supervisor import ChildSupervisor, TimedOutError, answer_of
from memory_service.core.errors import VectorIndexDown
from memory_service.core.models import Matrix, Vector
from memory_service.subprocesses.child_process import ChildProcess

logger = structlog.get_logger(__name__)

READ_SECONDS = 10.0
WRITE_SECONDS = 120.0
"""A full disk can make an `add` hang for ever; after this the child is replaced."""
COMPACT_SECONDS = 1_800.0
"""Rewriting Chroma's database takes about ten seconds a gigabyte on a slow disk."""

WRITES = frozenset({"upsert", "delete", "drop", "compact"})
"""Calls that one thread of the child makes in their order; other calls may overtake them.

If one of these fails, the child is replaced.
"""

# A name, not an import: chromadb takes 29 MB, and only the child needs it.
_CHILD = "memory_service.chroma.child"


class ChromaProcess:
    """A `VectorIndex` whose Chroma is in a child process.

    A child that died, hangs or cannot write is replaced. If Chroma cannot open its folder, the
    index still opens, and each call raises VectorIndexDown until `reset` empties the folder.
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
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._restart_vectors = restart_vectors
        self._counting = threading.Lock()
        self._written = 0
        self._supervisor = ChildSupervisor(
            _CHILD, (str(folder), embedder, dimension), ping_seconds=read_seconds
        )
        try:
            self._supervisor.child()
        except VectorIndexDown as error:
            logger.warning("the vector index cannot be opened", error=error.message)

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors; durable on return."""
        self._restart_when_full(len(keys))
        self._write("upsert", collection, list(keys), list(groups), vectors)

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are ignored."""
        self._write("delete", collection, list(keys))

    def load(self, collection: int) -> None:
        """Load a collection into memory; an unknown one is ignored.

        A million vectors are a gigabyte to read, which on a busy machine takes longer than a query
        may take.
        """
        self._call("load", (collection,), self._write_seconds)

    def drop(self, collection: int) -> None:
        """Remove a collection with its files; an unknown one is ignored."""
        self._write("drop", collection)

    def compact(self) -> None:
        """Remove vectors of dropped collections from the files."""
        self._call("compact", (), COMPACT_SECONDS)

    def reset(self) -> None:
        """Remove everything, readable or not, and continue with an empty folder."""
        self._supervisor.empty(self._folder)

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarities of the nearest keys of some groups; None means all.

        Takes at most `read_seconds`, whatever happens to the child meanwhile.
        """
        began = time.monotonic()
        child = self._supervisor.child(self._read_seconds)
        seconds_left = max(0.0, began + self._read_seconds - time.monotonic())
        similarities: Mapping[int, float] = self._ask(
            child, "query", (collection, vector, groups, limit), seconds_left
        )
        return similarities

    def collections(self) -> set[int]:
        """Return the numbers of all collections."""
        collections: set[int] = self._read("collections")
        return collections

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""
        return int(self._read("count", collection))

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""
        keys: set[int] = self._call("keys", (collection,), WRITE_SECONDS)
        return keys

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of the keys that a collection holds."""
        vectors: Mapping[int, Vector] = self._read("vectors", collection, list(keys))
        return vectors

    @property
    def child_pid(self) -> int | None:
        """The newest process that owns the folder, if there has been one."""
        return self._supervisor.pid

    def close(self) -> None:
        """Let the child finish and end."""
        self._supervisor.close()

    def _restart_when_full(self, count: int) -> None:
        """Replace a child that has written enough; Chroma keeps opened collections in memory.

        A request that is sent to it at that moment fails with VectorIndexDown.
        """
        with self._counting:
            self._written += count
            if not 0 < self._restart_vectors < self._written:
                return
            self._written = count
        self._supervisor.restart()

    def _read(self, name: str, *arguments: Any) -> Any:
        return self._call(name, arguments, self._read_seconds)

    def _write(self, name: str, *arguments: Any) -> None:
        self._call(name, arguments, self._write_seconds)

    def _call(self, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        """Return an answer; `seconds` do not include the start of a child.

        Indexing and repair must not take a slow start for an unreadable index.
        """
        return self._ask(self._supervisor.child(), name, arguments, seconds)

    def _ask(self, child: ChildProcess, name: str, arguments: Sequence[Any], seconds: float) -> Any:
        try:
            return answer_of(child.submit(name, arguments), seconds)
        except VectorIndexDown as error:
            if name in WRITES:
                # After an error of the disk the next write hangs for ever.
                logger.warning("the vector index failed and is replaced", error=error.message)
                self._supervisor.replace(child)
            elif isinstance(error, TimedOutError):
                self._supervisor.check(child)
            raise
