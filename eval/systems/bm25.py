"""BM25 as the library bm25s computes it (Lucene's formula), over the product's own terms.

With the product's stems and stop words in the language of the conversation it is a stronger
baseline than with none, and differs from the product in the ranking alone. Parameters are the
library's, k1 1.5 and b 0.75.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from eval.datasets import Question
from eval.extras import extra
from eval.systems import Baseline, Found
from eval.systems.passages import Place, Places, grouped
from memory_service.text.terms import terms


class BM25(Baseline):
    """Words only."""

    name = "bm25"

    def __init__(self, places: Places) -> None:
        self._library = extra("bm25s")
        # The library logs every index at the level of debugging, which it asks for when imported.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._places = places
        self._index = lru_cache(maxsize=8)(self._built)

    def search(self, question: Question, depth: int) -> Sequence[Found]:
        """Return the turns that share a term with the question."""
        key = self._places.key(question)
        place, index = self._index(key)
        wanted = [term for term in terms(question.text, place.language) if term in index.vocab_dict]
        if not wanted:
            return []
        scores = index.get_scores(wanted)
        return grouped(place, {int(n): float(scores[n]) for n in np.flatnonzero(scores)}, depth)

    def _built(self, key: tuple[str, ...]) -> tuple[Place, Any]:
        place = self._places.of_conversations(key)
        index = self._library.BM25(method="lucene")
        corpus = [terms(passage.text, place.language) for passage in place.passages]
        index.index(corpus, show_progress=False)
        return place, index
