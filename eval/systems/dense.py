"""Vectors only: exact cosines between the plain query and every passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from eval.datasets import Question
from eval.systems import Baseline, Found
from eval.systems.passages import Place, Places, grouped
from memory_service.core.models import Matrix
from memory_service.core.protocols import Embedder

_BATCH = 256
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class Dense(Baseline):
    """One embedder, without anything around it: its query has no weights.

    `kind` is how the settings name it.
    """

    def __init__(self, places: Places, embedder: Embedder, kind: str) -> None:
        self.name = f"dense-{_UNFIT.sub('-', kind)}"
        self._places = places
        self._embedder = embedder
        self._index = lru_cache(maxsize=8)(self._embedded)

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return the turns nearest to the question."""
        vector = self._embedder.embed_query(question.text)
        place, numbers, matrix = self._index(self._places.key(question))
        if vector is None or not numbers:
            return []
        scores = matrix @ vector
        return grouped(place, dict(zip(numbers, map(float, scores), strict=True)), depth)

    def _embedded(self, key: tuple[str, ...]) -> tuple[Place, list[int], Matrix]:
        """Return the place, the passages that have a vector, and these vectors."""
        place = self._places.of_conversations(key)
        numbers, vectors = [], []
        for start in range(0, len(place.passages), _BATCH):
            texts = [passage.text for passage in place.passages[start : start + _BATCH]]
            for number, vector in enumerate(self._embedder.embed_documents(texts), start=start):
                if vector is not None:
                    numbers.append(number)
                    vectors.append(vector)
        matrix = np.stack(vectors) if vectors else np.empty((0, self._embedder.dimension))
        return place, numbers, matrix.astype(np.float32)
