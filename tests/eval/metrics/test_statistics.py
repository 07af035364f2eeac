"""Intervals and differences, against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.statistics import MIN_GROUPS, _draws, _student, _tails, difference, interval

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def group_names(values: list[float], groups: int) -> list[str]:
    return [f"g{number % groups}" for number in range(len(values))]


@given(VALUES, st.integers(1, 12))
def test_interval_contains_mean_and_stays_within_values(values: list[float], groups: int) -> None:
    result = interval(values, group_names(values, groups), seed=1, draws=200)
    assert result.low <= result.mean <= result.high
    assert min(values) - 1e-9 <= result.low
    assert result.high <= max(values) + 1e-9


@given(VALUES, st.integers(0, 2**32))
def test_interval_is_deterministic_by_seed(values: list[float], seed: int) -> None:
    first, again = (
        interval(values, group_names(values, 6), seed=seed, draws=200) for _ in range(2)
    )
    assert first == again


def test_cached_draws_equal_new_draws() -> None:
    for units, seed in ((7, 1), (300, 2)):
        values = np.linspace(0, 1, units).tolist()
        groups = [f"{number:03}" for number in range(units)]
        first, again = (interval(values, groups, seed=seed, draws=1_500) for _ in range(2))
        times = np.concatenate(list(_draws(units, seed, 1_500)))
        means = times @ np.array(values) / units
        assert first == again
        low, high = np.quantile(means, _tails(units))
        assert (first.low, first.high) == pytest.approx((low, high))


def test_groups_are_resampled_as_a_whole() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0] * 20
    groups = [f"g{number % 6}" for number in range(120)]
    whole, single = interval(values, groups, seed=1), interval(values, list("ab") * 60, seed=1)
    assert (whole.unit, whole.units, single.unit, single.units) == ("groups", 6, "questions", 120)
    assert whole.high - whole.low > 3 * (single.high - single.low)


def test_interval_of_many_groups_equals_plain_bootstrap() -> None:
    rng = np.random.default_rng(5)
    values, groups = rng.random(900), rng.integers(0, 90, 900)
    members = [values[groups == number] for number in range(90)]
    means = [
        np.concatenate([members[index] for index in rng.integers(0, 90, 90)]).mean()
        for _ in range(2_000)
    ]
    result = interval(values.tolist(), [str(group) for group in groups], seed=2)
    assert (result.low, result.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.005)


@pytest.mark.parametrize("number", [5, 10, 20])
def test_interval_coverage_is_about_95_percent(number: int) -> None:
    rng = np.random.default_rng(3)
    groups = [str(place // 10) for place in range(10 * number)]
    covered = 0
    for seed in range(200):
        # Conversations with a level of their own, ten questions each; the true mean is 0.
        levels = np.repeat(rng.normal(0, 1, number), 10) + rng.normal(0, 1, 10 * number)
        result = interval(levels.tolist(), groups, seed=seed, draws=1_000)
        covered += result.low <= 0 <= result.high
    assert 0.89 <= covered / 200 <= 0.985


@pytest.mark.parametrize(("freedom", "expected"), [(4, 2.776), (9, 2.262), (29, 2.045)])
def test_student_quantile_matches_tables(freedom: int, expected: float) -> None:
    assert _student(freedom) == pytest.approx(expected, rel=0.003)


def test_difference_of_equal_values_is_zero() -> None:
    result = difference([0.5, 1.0, 0.0], [0.5, 1.0, 0.0], ["a", "b", "c"], seed=1)
    assert (result.mean, result.low, result.high) == (0.0, 0.0, 0.0)
    assert not result.is_loss
    assert not result.is_gain


@given(VALUES, VALUES, st.integers(1, 8))
def test_difference_is_antisymmetric(
    values: list[float], second_values: list[float], groups: int
) -> None:
    size = min(len(values), len(second_values))
    names = group_names(values[:size], groups)
    forward = difference(values[:size], second_values[:size], names, seed=4, draws=200)
    backward = difference(second_values[:size], values[:size], names, seed=4, draws=200)
    assert (backward.mean, backward.low, backward.high) == pytest.approx(
        (-forward.mean, -forward.high, -forward.low)
    )


@pytest.mark.parametrize("lost", [30, 1])
def test_loss_significance(lost: int) -> None:
    before = [1.0] * 60
    after = [0.0] * lost + [1.0] * (60 - lost)
    groups = [f"g{number % 10}" for number in range(60)]
    assert difference(after, before, groups, seed=1).is_loss == (lost > 1)


@pytest.mark.parametrize(("values", "groups"), [([], []), ([1.0], []), ([1.0], ["a", "b"])])
def test_values_and_groups_must_have_equal_length(values: list[float], groups: list[str]) -> None:
    with pytest.raises(ValueError, match="as many groups"):
        interval(values, groups, seed=1)


def test_questions_are_resampled_below_min_groups() -> None:
    values = [float(number % 2) for number in range(50)]
    assert interval(values, group_names(values, MIN_GROUPS - 1), seed=1).unit == "questions"
    assert interval(values, group_names(values, MIN_GROUPS), seed=1).unit == "groups"
