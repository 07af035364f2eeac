"""Candidates: the best of several rankings."""

from memory_service.recall.candidates import reciprocal_rank_fusion, top


def test_top_returns_best_scores_and_newer_of_equal_ones() -> None:
    assert top({1: 0.5, 2: 0.9, 3: 0.5, 4: 0.1}, 3) == [2, 3, 1]


def test_fusion_adds_reciprocal_ranks() -> None:
    assert reciprocal_rank_fusion([7, 8], [8]) == {7: 1 / 60, 8: 1 / 61 + 1 / 60}
