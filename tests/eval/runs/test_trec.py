"""TREC run files: falling scores, and ties."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.runs import trec


@given(st.lists(st.floats(-100, 100) | st.sampled_from([0.0, 1.0, 1.0 + 1e-12]), max_size=50))
def test_falling_scores_stay_close(scores: list[float]) -> None:
    ranked = sorted(scores, reverse=True)
    written = list(trec.falling(ranked))
    assert all(score > after for score, after in pairwise(written))
    assert written == pytest.approx(ranked, abs=1e-3)


def test_ties_keep_order_in_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run"
    trec.write_trec(path, [("q", [("b", 0.5), ("c", 0.5), ("a", 0.5)])], "tag")
    lines = [line.split() for line in path.read_text().splitlines()]
    assert [(doc, rank) for _, _, doc, rank, _, _ in lines] == [("b", "1"), ("c", "2"), ("a", "3")]
    scores = [np.float32(score) for *_, score, _ in lines]
    assert scores[0] > scores[1] > scores[2]
