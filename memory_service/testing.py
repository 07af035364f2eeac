"""Fakes for tests of programs that use this package: small, exact, without files or models.

They implement the protocols of `memory_service.core.protocols` and pass the same contract tests as
the real implementations.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from memory_service.core.errors import ChatModelDown, VectorIndexDown
from memory_service.core.models import Matrix, ModelAnswer, Vector

_WORD = re.compile(r"\w+")


class MemoryIndex:
    """A vector index in memory that compares all vectors.

    The next `failures` calls raise VectorIndexDown and change nothing; with a negative number all
    calls do until it is set again.
    """

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self._collections: dict[int, dict[int, tuple[int, Vector]]] = {}
        self._lock = threading.Lock()

    def upsert(
        self, collection: int, keys: Sequence[int], groups: Sequence[int], vectors: Matrix
    ) -> None:
        """Add or replace vectors."""
        with self._lock:
            self._fail_if_requested()
            held = self._collections.setdefault(collection, {})
            for key, group, vector in zip(keys, groups, vectors, strict=True):
                held[key] = (group, np.array(vector, dtype=np.float32))

    def delete(self, collection: int, keys: Sequence[int]) -> None:
        """Remove vectors; unknown keys are ignored."""
        with self._lock:
            self._fail_if_requested()
            held = self._collections.get(collection, {})
            for key in keys:
                held.pop(key, None)

    def load(self, _collection: int) -> None:
        """Do nothing: everything is in memory."""
        with self._lock:
            self._fail_if_requested()

    def drop(self, collection: int) -> None:
        """Remove a collection; an unknown one is ignored."""
        with self._lock:
            self._fail_if_requested()
            self._collections.pop(collection, None)

    def query(
        self, collection: int, vector: Vector, groups: Sequence[int] | None, limit: int
    ) -> Mapping[int, float]:
        """Return the cosine similarities of the nearest keys of some groups; None means all."""
        with self._lock:
            self._fail_if_requested()
            scores = {
                key: float(stored @ vector)
                for key, (group, stored) in self._collections.get(collection, {}).items()
                if groups is None or group in groups
            }
        nearest = sorted(scores, key=lambda key: (-scores[key], key))[:limit]
        return {key: scores[key] for key in nearest}

    def collections(self) -> set[int]:
        """Return the numbers of all collections."""
        with self._lock:
            self._fail_if_requested()
            return set(self._collections)

    def count(self, collection: int) -> int:
        """Return how many vectors a collection holds; an unknown one is empty."""
        return len(self.keys(collection))

    def keys(self, collection: int) -> set[int]:
        """Return all keys of a collection; an unknown one is empty."""
        with self._lock:
            self._fail_if_requested()
            return set(self._collections.get(collection, {}))

    def vectors(self, collection: int, keys: Sequence[int]) -> Mapping[int, Vector]:
        """Return the vectors of the keys that a collection holds."""
        with self._lock:
            self._fail_if_requested()
            held = self._collections.get(collection, {})
            return {key: held[key][1] for key in keys if key in held}

    def compact(self) -> None:
        """Do nothing: there are no files."""
        with self._lock:
            self._fail_if_requested()

    def reset(self) -> None:
        """Remove everything."""
        with self._lock:
            self._fail_if_requested()
            self._collections.clear()

    def close(self) -> None:
        """Delete everything."""
        self._collections.clear()

    def _fail_if_requested(self) -> None:
        if self.failures:
            if self.failures > 0:
                self.failures -= 1
            raise VectorIndexDown("The vector index fails on request.")


class HashingEmbedder:
    """An embedder for which a word is a direction made from its hash, and a text their sum."""

    name = "testing/hashing"
    embeds_with_write = True

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return a vector for each text, or None for a text without words."""
        return [self.embed_query(text) for text in texts]

    def embed_query(
        self, text: str, weights: Sequence[tuple[int, int, float]] = ()
    ) -> Vector | None:
        """Return the weighted sum of the words' directions, of unit length."""
        total = np.zeros(self.dimension, dtype=np.float32)
        for match in _WORD.finditer(text):
            total += _weight(match, weights) * self._direction(match[0].casefold())
        length = np.linalg.norm(total)
        return np.asarray(total / length, dtype=np.float32) if length else None

    def word_vectors(self, words: Sequence[str]) -> Matrix:
        """Return the direction of each word, of unit length."""
        vectors = [self.embed_query(word) for word in words]
        zeros = np.zeros(self.dimension, dtype=np.float32)
        rows = [zeros if vector is None else vector for vector in vectors]
        return np.array(rows).reshape(-1, self.dimension)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _direction(self, word: str) -> Vector:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        random = np.random.default_rng(int.from_bytes(digest))
        return random.standard_normal(self.dimension, dtype=np.float32)


class RepeatingModel:
    """A model that repeats the last message up to its limit, counting a word as a token.

    `asked` holds all prompts. The next `failures` calls raise ChatModelDown; with a negative number
    all calls do until it is set again.
    """

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[list[dict[str, str]]] = []
        self._lock = threading.Lock()
        self._closed = False

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Return the model's name and the first words of the last message."""
        with self._lock:
            if self._closed:
                raise ChatModelDown("The model is closed.")
            self.asked.append([dict(message) for message in messages])
            if self.failures:
                self.failures -= 1
                raise ChatModelDown("The model fails on request.")
        words = [model, *messages[-1]["content"].split()]
        return ModelAnswer(" ".join(words[:max_tokens]), is_whole=len(words) <= max_tokens)

    def close(self) -> None:
        """Refuse all later calls."""
        self._closed = True


def _weight(word: re.Match[str], weights: Sequence[tuple[int, int, float]]) -> float:
    if not weights:
        return 1.0
    overlapping = [
        weight for start, end, weight in weights if word.start() < end and word.end() > start
    ]
    return max(overlapping, default=0.0)
