"""The split into tuned-on and held-back conversations."""

from __future__ import annotations

import pytest

from eval.datasets.splits import SIDES, side


def test_shared_conversations_have_one_side_in_all_sets() -> None:
    assert all(side(f"conv-{number}") == side(f"tmd-{number}") for number in range(50))


def test_sides_are_balanced() -> None:
    sides = [side(f"rt-{number}") for number in range(1_000)]
    assert 400 < sides.count(SIDES[0]) < 600


@pytest.mark.parametrize(
    ("group", "expected"),
    [("conv-30", "tuned_on"), ("conv-26", "held_back"), ("beam-100K-1", "tuned_on")],
)
def test_side_is_stable(group: str, expected: str) -> None:
    assert side(group) == expected
