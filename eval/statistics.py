"""Intervals and paired comparisons that know which questions belong together. Pure.

Questions about one conversation are no independent observations: they share its speakers, its
topics and its luck. So the bootstrap draws whole groups (a conversation, or a user with all of
his) with replacement and takes the mean over the questions of those drawn (Field and Welsh,
"Bootstrapping clustered data", 2007); an interval is the middle 95 % of the resampled means. Under
`MIN_GROUPS` groups that says nothing, and questions are drawn instead; the result names which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
MIN_GROUPS = 5
"""With fewer, the middle 95 % of what can be drawn is next to everything that can be drawn."""

_LOW, _HIGH = 2.5, 97.5
_AT_ONCE = 1_000

Unit = Literal["groups", "questions"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval; `unit` is what was drawn, `units` how many of it."""

    mean: float
    low: float
    high: float
    unit: Unit
    units: int


def interval(
    values: Sequence[float], groups: Sequence[str], *, seed: int, draws: int = RESAMPLES
) -> Interval:
    """Return the mean of at least one value and its interval; `groups` names each value's."""
    sums, counts, unit = _summed(values, groups)
    means = _resampled(sums, counts, seed, draws)
    low, high = np.percentile(means, [_LOW, _HIGH])
    mean = float(sums.sum() / counts.sum())
    # Of equal values the resampled sums differ in their last bits; the mean is never outside.
    return Interval(mean, min(float(low), mean), max(float(high), mean), unit, len(sums))


@dataclass(frozen=True, slots=True)
class Difference:
    """What one system has ahead of another, question by question, with its 95 % interval.

    `p` is two-sided: twice the share of resampled differences on the other side of 0.
    """

    mean: float
    low: float
    high: float
    p: float
    unit: Unit
    units: int

    @property
    def is_loss(self) -> bool:
        """Return whether the whole interval lies below 0."""
        return self.high < 0.0

    @property
    def is_gain(self) -> bool:
        """Return whether the whole interval lies above 0."""
        return self.low > 0.0


def difference(
    values: Sequence[float],
    others: Sequence[float],
    groups: Sequence[str],
    *,
    seed: int,
    draws: int = RESAMPLES,
) -> Difference:
    """Return the mean of values - others, pair by pair, and its interval."""
    paired = np.subtract(np.asarray(values, float), np.asarray(others, float))
    sums, counts, unit = _summed(paired, groups)
    found = interval(paired.tolist(), groups, seed=seed, draws=draws)
    if not paired.any():
        return Difference(0.0, 0.0, 0.0, 1.0, unit, found.units)
    means = _resampled(sums, counts, seed, draws)
    # One more of each, as if the sample itself were drawn: p is never 0.
    above, below = (float(np.sum(side) + 1) for side in (means >= 0.0, means <= 0.0))
    p = min(1.0, 2.0 * min(above, below) / (len(means) + 1))
    return Difference(found.mean, found.low, found.high, p, unit, found.units)


def _summed(values: Sequence[float] | Floats, groups: Sequence[str]) -> tuple[Floats, Floats, Unit]:
    """Return (sum, number) of each group's values, or of each value if groups are too few."""
    if len(values) != len(groups) or not len(values):
        raise ValueError("as many groups as values are needed, and at least one")
    array = np.asarray(values, float)
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < MIN_GROUPS:
        return array, np.ones(len(array)), "questions"
    sums = np.bincount(places, weights=array).astype(float)
    return sums, np.bincount(places).astype(float), "groups"


def _resampled(sums: Floats, counts: Floats, seed: int, draws: int) -> Floats:
    """Return the means of so many draws; how often each unit is drawn is multinomial."""
    units = len(sums)
    rng = np.random.default_rng(seed)
    means = [np.empty(0)]
    # Some draws at a time: of 2,000 questions all at once would take 160 MB.
    for start in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - start)
        drawn = rng.multinomial(units, np.full(units, 1.0 / units), size=size)
        means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)
