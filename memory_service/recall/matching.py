"""How well the words of texts match those of a question: exactly, and by what they mean. Pure.

Each word of the question looks for its best counterpart in a text ("late interaction"): an equal
term counts 1, a word of similar meaning by how near its vector is ("food" finds "pistachios"). The
sum, weighted by how rare the question's words are in the scope, takes the place of BM25 in the
ranking; BM25 still finds the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Matrix

MIN_SIMILARITY = 0.25
"""Cosine of two words below which they have nothing to do with each other: of 5,000 words of
conversations, 95 % are below 0.15 of any given one.
"""

PHRASE_REACH = 3
"""Two words of the question that stand next to each other are a phrase if so few words apart."""

WINDOW = {-1: 0.6, 1: 0.5, -2: 0.4, 2: 0.3}
"""What a word counts that is not in the turn itself but in one at this distance."""

Word = tuple[str, str]
"""A term of the index and the word it was made from."""

Similarities = npt.NDArray[np.float32]
"""Shape (words of the question, texts), 0 to 1."""

WordVectors = Callable[[Sequence[str]], Matrix | None]
"""Vectors of words, at most of unit length, shape (words, dimension); None: there are none."""


@dataclass(frozen=True, slots=True)
class QueryWord:
    """A word of a question: its terms in the languages of the scope, and how rare it is there."""

    word: str
    terms: frozenset[str]
    weight: float


class Texts:
    """The words of several texts, laid end to end.

    `words` are numbers from 0 in the order in which they first occur, `lengths` says how many each
    text has; `of_term` has the numbers of the words that yield a term, `vectors` a row for each.
    """

    def __init__(
        self,
        words: npt.NDArray[np.intp],
        lengths: npt.NDArray[np.intp],
        of_term: Mapping[str, Sequence[int]],
        vectors: Matrix | None,
    ) -> None:
        self._flat = words
        self._different = int(words.max(initial=-1)) + 1
        self._of_term = of_term
        self._vectors = vectors
        self._count = len(lengths)
        self._text = np.repeat(np.arange(self._count), lengths)
        self._filled = np.flatnonzero(lengths)
        self._starts = (np.cumsum(lengths) - lengths)[self._filled]

    def match(self, query: Sequence[QueryWord], vectors: WordVectors) -> Similarities:
        """Return how near the nearest word of each text is to each word of the question."""
        result = np.zeros((len(query), self._count), dtype=np.float32)
        if not query or not len(self._flat):
            return result
        near = self._near(query, vectors)
        for row, numbers in zip(near, self._numbers(query), strict=True):
            row[numbers] = 1.0
        result[:, self._filled] = np.maximum.reduceat(near[:, self._flat], self._starts, axis=1)
        return result

    def phrases(self, query: Sequence[QueryWord]) -> npt.NDArray[np.float32]:
        """Return the weight of the pairs of words that follow each other in a text, too."""
        result = np.zeros(self._count, dtype=np.float32)
        occurs = [self._occurs(numbers) for numbers in self._numbers(query)]
        for (first, held), (second, there) in pairwise(zip(query, occurs, strict=True)):
            here = np.flatnonzero(held)
            if not len(here) or not there.any():
                continue
            for step in (*range(-PHRASE_REACH, 0), *range(1, PHRASE_REACH + 1)):
                inside = here[(here + step >= 0) & (here + step < len(self._flat))]
                met = inside[
                    there[inside + step] & (self._text[inside] == self._text[inside + step])
                ]
                found = np.zeros(self._count, dtype=np.bool_)
                found[self._text[met]] = True
                here = here[~found[self._text[here]]]
                result[found] += min(first.weight, second.weight)
        return result

    def _numbers(self, query: Sequence[QueryWord]) -> list[list[int]]:
        """Return for each word of the question the numbers of the words that equal it."""
        return [[n for term in one.terms for n in self._of_term.get(term, ())] for one in query]

    def _occurs(self, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return where one of some words stands."""
        wanted = np.zeros(self._different, dtype=np.bool_)
        wanted[numbers] = True
        return wanted[self._flat]

    def _near(self, query: Sequence[QueryWord], vectors: WordVectors) -> Similarities:
        """Return the similarity of each word of the question to each word of the texts."""
        asked = vectors([one.word for one in query])
        if asked is None or self._vectors is None:
            return np.zeros((len(query), self._different), dtype=np.float32)
        cosines = asked @ self._vectors.T
        near: Similarities = np.clip((cosines - MIN_SIMILARITY) / (1 - MIN_SIMILARITY), 0.0, 1.0)
        return near


def score(query: Sequence[QueryWord], similarities: Similarities) -> npt.NDArray[np.float64]:
    """Return for each text the similarities of the question's words, weighted and added up."""
    weights = np.array([one.weight for one in query], dtype=np.float64)
    total: npt.NDArray[np.float64] = weights @ similarities.astype(np.float64)
    return total


def with_neighbours(similarities: Similarities, follows: npt.NDArray[np.bool_]) -> Similarities:
    """Return similarities where what a turn's neighbours say counts for it, at less.

    `follows[i]` says that text i is the next turn after text i - 1. A word that is in the turn and
    in its neighbours counts once, at its best.
    """
    result = similarities.copy()
    for step, weight in WINDOW.items():
        shifted = np.roll(similarities, -step, axis=1) * np.float32(weight)
        shifted[:, ~_connected(follows, step)] = 0.0
        np.maximum(result, shifted, out=result)
    return result


def _connected(follows: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.bool_]:
    """Return where the place `step` away is in the same unbroken run."""
    run = np.cumsum(~follows)
    connected: npt.NDArray[np.bool_] = np.roll(run, -step) == run
    if step > 0:
        connected[-step:] = False
    else:
        connected[:-step] = False
    return connected
