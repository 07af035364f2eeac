"""Soft word match: how well the words of texts match those of a query. Pure.

Each word of the query looks for its best counterpart in a text: "late interaction", as in Khattab
and Zaharia, "ColBERT" (2020), with static word vectors. An equal term counts 1, a word of similar
meaning by the similarity of its vector ("food" finds "pistachios"). The sum, weighted by the
inverse document frequency of the query's words in the scope, takes the place of BM25 in the
ranking. BM25 still finds the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Matrix

MIN_SIMILARITY = 0.25
"""Cosine of two words below which they count as unrelated: of 5,000 words of conversations, 95 %
are below 0.15 of any given one.
"""

PHRASE_REACH = 3
"""Two words of the query that stand next to each other are a phrase at up to this distance."""

NEIGHBOUR_WEIGHTS = {-1: 0.6, 1: 0.5, -2: 0.4, 2: 0.3}
"""What a word counts that is not in the turn itself but in the turn at this distance."""

NEIGHBOUR_REACH = max(NEIGHBOUR_WEIGHTS)
"""How many turns before and after a turn are its neighbours."""

Word = tuple[str, str]
"""A term of the index and the word it was made from."""

Similarities = npt.NDArray[np.float32]
"""Shape (words of the query, texts), 0 to 1."""

WordVectors = Callable[[Sequence[str]], Matrix | None]
"""Vectors of words, at most of unit length, shape (words, dimension); None: there are none."""


@dataclass(frozen=True, slots=True)
class QueryWord:
    """A word of a query: its terms in the languages of the scope, and its weight there."""

    word: str
    terms: frozenset[str]
    weight: float


class WordArrays:
    """The words of several texts, one text after the other.

    `words` are numbers from 0 in the order in which they first occur; `lengths` says how many each
    text has. `words_of_term` has the numbers of the words that yield a term, `vectors` a row for
    each distinct word.
    """

    def __init__(
        self,
        words: npt.NDArray[np.intp],
        lengths: npt.NDArray[np.intp],
        words_of_term: Mapping[str, Sequence[int]],
        vectors: Matrix | None,
    ) -> None:
        self._words = words
        self._distinct = int(words.max(initial=-1)) + 1
        self._words_of_term = words_of_term
        self._vectors = vectors
        self._count = len(lengths)
        self._text_of = np.repeat(np.arange(self._count), lengths)
        self._filled = np.flatnonzero(lengths)
        self._starts = (np.cumsum(lengths) - lengths)[self._filled]

    def match(self, query: Sequence[QueryWord], vectors: WordVectors) -> Similarities:
        """Return the similarity of each word of the query to the nearest word of each text."""
        result = np.zeros((len(query), self._count), dtype=np.float32)
        if not query or not len(self._words):
            return result
        similarities = self._similarities(query, vectors)
        for row, numbers in zip(similarities, self._equal_words(query), strict=True):
            row[numbers] = 1.0
        result[:, self._filled] = np.maximum.reduceat(
            similarities[:, self._words], self._starts, axis=1
        )
        return result

    def phrases(self, query: Sequence[QueryWord]) -> npt.NDArray[np.float32]:
        """Return for each text the weight of the query's pairs of words that it has as well.

        A pair is two words that follow each other in the query; a text has it where the two stand
        at most `PHRASE_REACH` apart, in either order. A pair weighs as its lighter word.
        """
        result = np.zeros(self._count, dtype=np.float32)
        occurrences = [self._occurrences(numbers) for numbers in self._equal_words(query)]
        for (first, at_first), (second, at_second) in pairwise(
            zip(query, occurrences, strict=True)
        ):
            texts = self._texts_with_pair(at_first, at_second)
            result[texts] += min(first.weight, second.weight)
        return result

    def _texts_with_pair(
        self, at_first: npt.NDArray[np.bool_], at_second: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Return which texts have two words near each other, given where each word occurs."""
        texts = np.zeros(self._count, dtype=np.bool_)
        places = np.flatnonzero(at_first)
        if not len(places) or not at_second.any():
            return texts
        for step in (*range(-PHRASE_REACH, 0), *range(1, PHRASE_REACH + 1)):
            inside = places[(places + step >= 0) & (places + step < len(self._words))]
            same_text = self._text_of[inside] == self._text_of[inside + step]
            texts[self._text_of[inside[at_second[inside + step] & same_text]]] = True
        return texts

    def _equal_words(self, query: Sequence[QueryWord]) -> list[list[int]]:
        """Return for each word of the query the numbers of the words that equal it."""
        return [
            [number for term in word.terms for number in self._words_of_term.get(term, ())]
            for word in query
        ]

    def _occurrences(self, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return where any of some words occurs; shape (words of all texts,)."""
        wanted = np.zeros(self._distinct, dtype=np.bool_)
        wanted[numbers] = True
        return wanted[self._words]

    def _similarities(self, query: Sequence[QueryWord], vectors: WordVectors) -> Similarities:
        """Return the similarity of each word of the query to each distinct word of the texts."""
        query_vectors = vectors([word.word for word in query])
        if query_vectors is None or self._vectors is None:
            return np.zeros((len(query), self._distinct), dtype=np.float32)
        cosines = query_vectors @ self._vectors.T
        similarities: Similarities = np.clip(
            (cosines - MIN_SIMILARITY) / (1 - MIN_SIMILARITY), 0.0, 1.0
        )
        return similarities


def score(query: Sequence[QueryWord], similarities: Similarities) -> npt.NDArray[np.float64]:
    """Return for each text the weighted sum of the similarities of the query's words."""
    weights = np.array([word.weight for word in query], dtype=np.float64)
    total: npt.NDArray[np.float64] = weights @ similarities.astype(np.float64)
    return total


def with_neighbours(similarities: Similarities, follows: npt.NDArray[np.bool_]) -> Similarities:
    """Return similarities to which the neighbours of a turn add theirs, at a lower weight.

    `follows[i]` says that text i is the next turn after text i - 1. A word that is in the turn and
    in its neighbours counts once, at its best.
    """
    result = similarities.copy()
    for step, weight in NEIGHBOUR_WEIGHTS.items():
        shifted = np.roll(similarities, -step, axis=1) * np.float32(weight)
        shifted[:, ~_connected(follows, step)] = 0.0
        np.maximum(result, shifted, out=result)
    return result


def _connected(follows: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.bool_]:
    """Return for which texts the one `step` away is in the same unbroken run."""
    run = np.cumsum(~follows)
    connected: npt.NDArray[np.bool_] = np.roll(run, -step) == run
    if step > 0:
        connected[-step:] = False
    else:
        connected[:-step] = False
    return connected
