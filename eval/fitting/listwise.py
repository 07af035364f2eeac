"""Fit the weights of a linear ranking: a softmax over the candidates of each question. Pure.

The loss of a question is the mean of -ln(share) over its gold candidates, as in ListNet's top-one
form (Cao and others, "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007). Each
set counts alike, however many questions it has, and a little of the weights' square is added, so
that the minimum is one: Newton's method finds it from zero in a few steps, the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from eval.datasets import DatasetError

PENALTY = 3.0
"""Times half of the squared weights, against the sum of all questions' losses."""

_CONVERGED = 1e-10
"""By what a step would lower the loss at most, of which nothing shows in two decimals."""

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A question's candidates: their features, shape (candidates, features), and which are gold.

    Of equal scores the earlier row ranks first. `golds` counts all gold turns, found or not;
    `group` names what the question shares with those it depends on.
    """

    group: str
    features: Column
    gold: npt.NDArray[np.bool_]
    golds: int

    def recall(self, weights: Column, depth: int) -> float:
        """Return the share of the gold turns among the first, 0 to 1."""
        best = np.argsort(-(self.features @ weights), kind="stable")[:depth]
        return float(self.gold[best].sum()) / self.golds


def fit(sets: Sequence[Sequence[Example]]) -> Column:
    """Return the weights of the features; raises DatasetError if no candidate is gold."""
    usable = [[one for one in some if one.gold.any()] for some in sets]
    stacks = [_Stack.of(some) for some in usable if some]
    if not stacks:
        raise DatasetError("nothing to fit: no question has a gold turn among its candidates")
    penalty = PENALTY / sum(one.questions for one in stacks)
    weights = np.zeros(stacks[0].table.shape[1])
    while True:
        at = _at(stacks, weights, penalty)
        step = np.linalg.solve(at.hessian, at.gradient)
        if at.gradient @ step < _CONVERGED:
            return weights
        # Far from the minimum a whole step may lead past it.
        while _at(stacks, weights - step, penalty).loss > at.loss:
            step = step / 2
        weights = weights - step


class _Slope(NamedTuple):
    """The loss at some weights, with its first and second derivatives."""

    loss: float
    gradient: Column
    hessian: Column


def _at(stacks: Sequence[_Stack], weights: Column, penalty: float) -> _Slope:
    """Return the mean of the sets' losses, with the penalty."""
    slopes = [one.at(weights) for one in stacks]
    return _Slope(
        sum(one.loss for one in slopes) / len(slopes) + penalty / 2 * float(weights @ weights),
        np.mean([one.gradient for one in slopes], axis=0) + penalty * weights,
        np.mean([one.hessian for one in slopes], axis=0) + penalty * np.eye(len(weights)),
    )


@dataclass(frozen=True, slots=True)
class _Stack:
    """The candidates of many questions in one table; `starts` and `sizes` say whose are whose.

    `gold` is the part of a question's loss that a candidate has: of two gold ones half each.
    """

    table: Column
    starts: npt.NDArray[np.intp]
    sizes: npt.NDArray[np.intp]
    gold: Column

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Self:
        sizes = np.array([len(one.gold) for one in examples], dtype=np.intp)
        return cls(
            np.concatenate([one.features for one in examples]),
            np.cumsum(sizes) - sizes,
            sizes,
            np.concatenate([one.gold / one.gold.sum() for one in examples]),
        )

    @property
    def questions(self) -> int:
        return len(self.sizes)

    def at(self, weights: Column) -> _Slope:
        """Return the mean loss of the questions."""
        scores = self.table @ weights
        # Against overflow; what is taken from all candidates of a question changes no share.
        scores -= np.repeat(np.maximum.reduceat(scores, self.starts), self.sizes)
        odds = np.exp(scores)
        totals = np.add.reduceat(odds, self.starts)
        weighted = self.table * (odds / np.repeat(totals, self.sizes))[:, None]
        means = np.add.reduceat(weighted, self.starts)
        return _Slope(
            float(np.log(totals).sum() - self.gold @ scores) / self.questions,
            (means.sum(axis=0) - self.gold @ self.table) / self.questions,
            (self.table.T @ weighted - means.T @ means) / self.questions,
        )
