"""The weights of a linear ranking, fitted by a softmax over each question's candidates. Pure.

The loss of a question is the mean of -ln(share) over its gold candidates, as in ListNet's top-one
form (Cao and others, "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007). Each
set counts alike, however many questions it has. A small multiple of the squared weights is added,
so that there is exactly one minimum: Newton's method finds it from zero in a few steps, the same
each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from eval.errors import DatasetError

PENALTY = 3.0
"""The factor of half the squared weights, against the sum of all questions' losses."""

_CONVERGED = 1e-10
"""A step that would lower the loss by less is the last; two decimals do not show it."""

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RankingExample:
    """A question's candidates: their features, shape (candidates, features), and their gold.

    Of equal scores the earlier row ranks first. `golds` counts all gold turns, found or not;
    `group` is the question's group (`Dataset.group`).
    """

    group: str
    features: Column
    gold: npt.NDArray[np.bool_]
    golds: int

    def recall(self, weights: Column, depth: int) -> float:
        """Return the share of the gold turns among the first, 0 to 1."""
        best = np.argsort(-(self.features @ weights), kind="stable")[:depth]
        return float(self.gold[best].sum()) / self.golds


def fit(sets: Sequence[Sequence[RankingExample]]) -> Column:
    """Return the weights of the features; raises DatasetError if no candidate is gold."""
    usable = [[example for example in examples if example.gold.any()] for examples in sets]
    stacks = [_Stack.of(examples) for examples in usable if examples]
    if not stacks:
        raise DatasetError("nothing to fit: no question has a gold turn among its candidates")
    penalty = PENALTY / sum(stack.questions for stack in stacks)
    weights = np.zeros(stacks[0].table.shape[1])
    while True:
        at = _at(stacks, weights, penalty)
        step = np.linalg.solve(at.hessian, at.gradient)
        if at.gradient @ step < _CONVERGED:
            return weights
        # Far from the minimum a whole step may overshoot.
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
    slopes = [stack.at(weights) for stack in stacks]
    return _Slope(
        sum(slope.loss for slope in slopes) / len(slopes) + penalty / 2 * float(weights @ weights),
        np.mean([slope.gradient for slope in slopes], axis=0) + penalty * weights,
        np.mean([slope.hessian for slope in slopes], axis=0) + penalty * np.eye(len(weights)),
    )


@dataclass(frozen=True, slots=True)
class _Stack:
    """The candidates of many questions in one table, question by question.

    `starts` and `sizes` are the first row and the number of rows of each question. `gold` is a
    candidate's part of its question's loss: half each, of two gold ones.
    """

    table: Column
    starts: npt.NDArray[np.intp]
    sizes: npt.NDArray[np.intp]
    gold: Column

    @classmethod
    def of(cls, examples: Sequence[RankingExample]) -> Self:
        sizes = np.array([len(example.gold) for example in examples], dtype=np.intp)
        return cls(
            np.concatenate([example.features for example in examples]),
            np.cumsum(sizes) - sizes,
            sizes,
            np.concatenate([example.gold / example.gold.sum() for example in examples]),
        )

    @property
    def questions(self) -> int:
        return len(self.sizes)

    def at(self, weights: Column) -> _Slope:
        """Return the mean loss of the questions."""
        scores = self.table @ weights
        # Against overflow: a number subtracted from all candidates of a question changes no share.
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
