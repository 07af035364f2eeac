"""The system `bm25`: the library bm25s (Lucene's formula, k1 1.5, b 0.75) over the product's terms.

With the product's stems and stop words in the language of the conversation it is a stronger
baseline than with none, and differs from the product in the ranking alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from eval.datasets.models import Question
from eval.extras import extra
from eval.systems.scopes import ScopeCache, ScopePassages, best_turns
from eval.systems.system import Baseline, RetrievedTurn
from memory_service.text.terms import terms


class _IndexedScope(NamedTuple):
    """A scope with the library's index of its passages."""

    scope: ScopePassages
    index: Any


class BM25(Baseline):
    """Words only."""

    name = "bm25"

    def __init__(self, scopes: ScopeCache) -> None:
        self._library = extra("bm25s")
        # On import the library sets its log level to debug; it then logs every index.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._scopes = scopes
        self._indexed = lru_cache(maxsize=8)(self._build_index)

    def search(self, question: Question, depth: int) -> Sequence[RetrievedTurn]:
        """Return the turns that share a term with the question."""
        scope, index = self._indexed(self._scopes.key(question))
        wanted = [term for term in terms(question.text, scope.language) if term in index.vocab_dict]
        if not wanted:
            return []
        scores = index.get_scores(wanted)
        return best_turns(scope, {int(n): float(scores[n]) for n in np.flatnonzero(scores)}, depth)

    def _build_index(self, key: tuple[str, ...]) -> _IndexedScope:
        scope = self._scopes.passages(key)
        index = self._library.BM25(method="lucene")
        corpus = [terms(passage.text, scope.language) for passage in scope.passages]
        index.index(corpus, show_progress=False)
        return _IndexedScope(scope, index)
