"""The systems `dense` and `dense-…`: exact cosines between the question and every passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from eval.datasets.models import Question
from eval.systems.scopes import ScopeCache, ScopePassages, best_turns
from eval.systems.system import Baseline, RetrievedTurn
from memory_service.core.models import Matrix
from memory_service.core.protocols import Embedder

_BATCH = 256
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class _EmbeddedScope(NamedTuple):
    """A scope, the indexes of its passages that have a vector, and these vectors as rows."""

    scope: ScopePassages
    indexes: list[int]
    vectors: Matrix


class Dense(Baseline):
    """One embedder alone; its queries are not weighted. `kind` is its name in the settings."""

    def __init__(self, scopes: ScopeCache, embedder: Embedder, kind: str) -> None:
        self.name = f"dense-{_NOT_IN_NAMES.sub('-', kind)}"
        self._scopes = scopes
        self._embedder = embedder
        self._embedded = lru_cache(maxsize=8)(self._embed)

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the turns nearest to the question."""
        query = self._embedder.embed_query(question.text)
        scope, indexes, vectors = self._embedded(self._scopes.key(question))
        if query is None or not indexes:
            return []
        scores = map(float, vectors @ query)
        return best_turns(scope, dict(zip(indexes, scores, strict=True)), depth)

    def _embed(self, key: tuple[str, ...]) -> _EmbeddedScope:
        scope = self._scopes.passages(key)
        indexes, vectors = [], []
        for start in range(0, len(scope.passages), _BATCH):
            texts = [passage.text for passage in scope.passages[start : start + _BATCH]]
            for index, vector in enumerate(self._embedder.embed_documents(texts), start=start):
                if vector is not None:
                    indexes.append(index)
                    vectors.append(vector)
        matrix = np.stack(vectors) if vectors else np.empty((0, self._embedder.dimension))
        return _EmbeddedScope(scope, indexes, matrix.astype(np.float32))
