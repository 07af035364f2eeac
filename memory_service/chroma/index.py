"""The vector index in an embedded Chroma. No other module of this package imports chromadb.

Chroma holds ids, vectors and the one metadata key that is filtered on; texts and everything else
are in the turn log. Its ids are the passages' internal keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError, NotFoundError

from memory_service.chroma import files
from memory_service.core.errors import StartupError, VectorIndexDown
from memory_service.core.models import Matrix, Vector

MAX_BATCH = 5_000
"""Chroma takes at most 5,461 records at once."""

_GROUP = "c"
_PREFIX = "passages-"
# The default of 1,000 leaves small collections unsynced, and each `add` then scans a shared queue
# again: 33 ms per `add`, against 5.5 ms with 100.
_SYNC_THRESHOLD = 100


class ChromaIndex:
    """The collections of an embedded Chroma, which only this process uses."""

    def __init__(self, folder: Path, *, embedder: str, dimension: int) -> None:
        self._folder = folder
        with _as_down():
            self._client: Any = chromadb.PersistentClient(
                path=str(folder), settings=ChromaSettings(anonymized_telemetry=False)
            )
        self._dimension = dimension
        self._metadata = {"embedder": embedder, "dimension": dimension}
        self._collections: dict[int, Any] = {}

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors (`add` ignores an existing id without an error)."""
        with _as_down():
            opened = self._open(collection, create=True)
            for start in range(0, len(keys), MAX_BATCH):
                part = slice(start, start + MAX_BATCH)
                opened.upsert(
                    ids=[str(key) for key in keys[part]],
                    embeddings=vectors[part],
                    metadatas=[{_GROUP: group} for group in groups[part]],
                )

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown and repeated keys are ignored."""
        # Chroma refuses a call that contains an id twice.
        ids = [str(key) for key in dict.fromkeys(keys)]
        with _as_down():
            opened = self._open(collection, create=False)
            if opened is None:
                return
            for start in range(0, len(ids), MAX_BATCH):
                opened.delete(ids=ids[start : start + MAX_BATCH])

    def load(self, collection: int) -> None:
        """Load a collection into memory, which its first query does."""
        any_vector = np.full(self._dimension, self._dimension**-0.5, dtype=np.float32)
        self.query(collection, any_vector, None, 1)

    def drop(self, collection: int) -> None:
        """Remove a collection with its files; an unknown one is ignored."""
        self._collections.pop(collection, None)
        with _as_down(), suppress(NotFoundError):
            self._client.delete_collection(_name(collection))
        files.remove_orphans(self._folder)

    def compact(self) -> None:
        """Remove vectors of dropped collections from the files.

        A collection's own files keep vectors that were deleted from it until it is dropped.
        """
        files.remove_orphans(self._folder)
        files.vacuum(self._folder)

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarities of the nearest keys of some groups; None means all."""
        with _as_down():
            opened = self._open(collection, create=False)
            if opened is None:
                return {}
            nearest = opened.query(
                query_embeddings=[vector],
                n_results=limit,
                where=_where(groups),
                include=["distances"],
            )
        return {
            int(key): 1.0 - float(distance)
            for key, distance in zip(nearest["ids"][0], nearest["distances"][0], strict=True)
        }

    def collections(self) -> set[int]:
        """Return the numbers of all collections."""
        with _as_down():
            names = [str(collection.name) for collection in self._client.list_collections()]
        return {int(name.removeprefix(_PREFIX)) for name in names if name.startswith(_PREFIX)}

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""
        with _as_down():
            opened = self._open(collection, create=False)
            return 0 if opened is None else int(opened.count())

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""
        with _as_down():
            opened = self._open(collection, create=False)
            return set() if opened is None else {int(key) for key in opened.get(include=[])["ids"]}

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of the keys that a collection holds."""
        vectors: dict[int, Vector] = {}
        with _as_down():
            opened = self._open(collection, create=False)
            if opened is None:
                return {}
            for start in range(0, len(keys), MAX_BATCH):
                ids = [str(key) for key in keys[start : start + MAX_BATCH]]
                batch = opened.get(ids=ids, include=["embeddings"])
                for key, vector in zip(batch["ids"], batch["embeddings"], strict=True):
                    vectors[int(key)] = np.asarray(vector, dtype=np.float32)
        return vectors

    def close(self) -> None:
        """Release Chroma's files and threads."""
        self._collections.clear()
        self._client.close()

    def _open(self, collection: int, *, create: bool) -> Any:
        opened = self._collections.get(collection)
        if opened is None:
            opened = self._create(collection) if create else self._find(collection)
            if opened is None:
                return None
            self._check(opened.metadata or {})
            self._collections[collection] = opened
        return opened

    def _create(self, collection: int) -> Any:
        return self._client.get_or_create_collection(
            _name(collection),
            # The default function downloads a model at its first use.
            embedding_function=None,
            metadata=self._metadata,
            configuration={"hnsw": {"space": "cosine", "sync_threshold": _SYNC_THRESHOLD}},
        )

    def _find(self, collection: int) -> Any:
        try:
            return self._client.get_collection(_name(collection), embedding_function=None)
        except NotFoundError:
            return None

    def _check(self, metadata: Mapping[str, Any]) -> None:
        if {key: metadata.get(key) for key in self._metadata} != self._metadata:
            raise StartupError(
                f"The vector index was made with {metadata.get('embedder')} "
                f"({metadata.get('dimension')} dimensions), this service runs "
                f"{self._metadata['embedder']} ({self._metadata['dimension']}). "
                "`memory-service rebuild-index` rebuilds it from the turn log."
            )


@contextmanager
def _as_down() -> Iterator[None]:
    """Raise VectorIndexDown for every error of Chroma."""
    try:
        yield
    except ChromaError as error:
        raise VectorIndexDown(f"The vector index cannot be used: {error}.") from error


def _name(collection: int) -> str:
    return f"{_PREFIX}{collection}"


def _where(groups: Sequence[int] | None) -> Any:
    if groups is None:
        return None
    return {_GROUP: groups[0]} if len(groups) == 1 else {_GROUP: {"$in": list(groups)}}
