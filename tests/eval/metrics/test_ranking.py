"""Metrics of rankings, by hand and against trec_eval."""

from __future__ import annotations

import math

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.ranking import mean, ndcg, percentile, recall, score, score_fully

TURNS = [f"t{number}" for number in range(40)]
RANKINGS = st.lists(st.sampled_from(TURNS), unique=True, max_size=40)
GOLDS = st.sets(st.sampled_from([*TURNS, "never said"]), min_size=1, max_size=30)
TREC_NAMES = {
    "recall@5": "recall_5",
    "recall@10": "recall_10",
    "recall@25": "recall_25",
    "ndcg@10": "ndcg_cut_10",
}


@pytest.mark.parametrize(
    ("ranked", "gold", "k", "expected"),
    [
        ("abc", "a", 1, 1.0),
        ("abc", "c", 2, 0.0),
        ("abc", "ac", 2, 0.5),
        ("abc", "abcd", 3, 0.75),
        ("abc", "abcd", 2, 0.5),
        ("", "a", 5, 0.0),
    ],
)
def test_recall(ranked: str, gold: str, k: int, expected: float) -> None:
    assert recall(ranked, gold, k) == expected


@pytest.mark.parametrize(
    ("ranked", "gold", "k", "expected"),
    [
        ("abc", "a", 10, 1.0),
        ("abc", "b", 10, 1 / math.log2(3)),
        ("abc", "c", 2, 0.0),
        ("abc", "ac", 10, (1 + 1 / 2) / (1 + 1 / math.log2(3))),
        ("abc", "abcd", 3, 1.0),
        ("", "a", 10, 0.0),
    ],
)
def test_ndcg(ranked: str, gold: str, k: int, expected: float) -> None:
    assert ndcg(ranked, gold, k) == pytest.approx(expected, abs=1e-12)


@given(RANKINGS, GOLDS)
def test_score_equals_trec_eval(ranked: list[str], gold: set[str]) -> None:
    judge = pytrec_eval.RelevanceEvaluator(
        {"q": dict.fromkeys(gold, 1)}, {"recall.5,10,25", "ndcg_cut.10"}
    )
    theirs = judge.evaluate({"q": {turn_id: float(-rank) for rank, turn_id in enumerate(ranked)}})[
        "q"
    ]
    expected = {ours: theirs[name] for ours, name in TREC_NAMES.items()}
    assert score(ranked, gold) == pytest.approx(expected, abs=1e-9)


@given(RANKINGS, GOLDS)
def test_score_fully_equals_trec_eval(ranked: list[str], gold: set[str]) -> None:
    judge = pytrec_eval.RelevanceEvaluator(
        {"q": dict.fromkeys(gold, 1)},
        {"recall.5,10,25,50", "success.5,10,25,50", "ndcg_cut.10", "recip_rank"},
    )
    theirs = judge.evaluate({"q": {turn_id: float(-rank) for rank, turn_id in enumerate(ranked)}})[
        "q"
    ]
    expected = {"ndcg@10": theirs["ndcg_cut_10"], "mrr": theirs["recip_rank"]}
    for k in (5, 10, 25, 50):
        expected[f"recall@{k}"] = theirs[f"recall_{k}"]
        expected[f"recall_any@{k}"] = theirs[f"success_{k}"]
        expected[f"recall_all@{k}"] = float(theirs[f"recall_{k}"] == 1.0)
    assert score_fully(ranked, gold) == pytest.approx(expected, abs=1e-9)


@given(RANKINGS, GOLDS)
def test_recall_lies_between_recall_all_and_recall_any(ranked: list[str], gold: set[str]) -> None:
    metrics = score_fully(ranked, gold)
    for k in (5, 10, 25, 50):
        assert metrics[f"recall_all@{k}"] <= metrics[f"recall@{k}"] <= metrics[f"recall_any@{k}"]


@given(GOLDS)
def test_empty_ranking_scores_zero(gold: set[str]) -> None:
    assert set(score([], gold).values()) == {0.0}


def test_duplicate_id_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        score(["a", "b", "a"], {"a"})


def test_empty_gold_is_refused() -> None:
    with pytest.raises(ValueError, match="without gold"):
        score(["a"], set())


def test_mean_weighs_questions_equally() -> None:
    assert mean([{"recall@5": 1.0}, {"recall@5": 0.0}, {"recall@5": 0.5}]) == {"recall@5": 0.5}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([1.0, 2.0], 0.99, 2.0),
        ([7.0], 0.5, 7.0),
        ([float(number) for number in range(1, 101)], 0.95, 95.0),
    ],
)
def test_percentile_is_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
