"""The metrics of a ranking against the turns that answer the question. Pure.

A mean over questions counts each once, also one for which nothing was found (as `trec_eval -c`).
A ranking is an order without ties: the system that returns it breaks them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

RECALL_AT = (5, 10, 25)
"""The cuts of `python -m eval recall`."""
CUT_AT = (5, 10, 25, 50)
"""The cuts of `python -m eval run`."""
NDCG_AT = 10
MRR = "mrr"


def score(ranked: Sequence[str], gold: Collection[str]) -> dict[str, float]:
    """Return the metrics of `python -m eval recall` for one question.

    `ranked` are ids, best first.
    """
    metrics = {f"recall@{k}": recall(ranked, gold, k) for k in RECALL_AT}
    return metrics | {f"ndcg@{NDCG_AT}": ndcg(ranked, gold, NDCG_AT)}


def score_fully(ranked: Sequence[str], gold: Collection[str]) -> dict[str, float]:
    """Return the metrics of `python -m eval run` for one question; each is between 0 and 1."""
    metrics = {f"recall@{k}": recall(ranked, gold, k) for k in CUT_AT}
    metrics |= {f"recall_any@{k}": recall_any(ranked, gold, k) for k in CUT_AT}
    metrics |= {f"recall_all@{k}": recall_all(ranked, gold, k) for k in CUT_AT}
    return metrics | {
        f"ndcg@{NDCG_AT}": ndcg(ranked, gold, NDCG_AT),
        MRR: reciprocal_rank(ranked, gold),
    }


def recall(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the share of the gold that is among the first k."""
    gold_set = _checked(ranked, gold)
    return len(gold_set.intersection(ranked[:k])) / len(gold_set)


def recall_any(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return 1 if any of the gold is among the first k, else 0."""
    return float(not _checked(ranked, gold).isdisjoint(ranked[:k]))


def recall_all(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return 1 if all of the gold is among the first k, else 0 (so too where more than k are)."""
    return float(_checked(ranked, gold).issubset(ranked[:k]))


def reciprocal_rank(ranked: Sequence[str], gold: Collection[str]) -> float:
    """Return 1 / the rank of the first gold, counted from 1; 0 if none was found."""
    gold_set = _checked(ranked, gold)
    ranks = (rank for rank, turn_id in enumerate(ranked, start=1) if turn_id in gold_set)
    return next((1.0 / rank for rank in ranks), 0.0)


def ndcg(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the discounted gain of the first k over that of min(k, |gold|) gold in front.

    A gold turn gains 1, any other 0; the gain at rank n is divided by log2(n + 1).
    """
    gold_set = _checked(ranked, gold)
    gain = math.fsum(_discount(index) for index, item in enumerate(ranked[:k]) if item in gold_set)
    return gain / math.fsum(_discount(index) for index in range(min(k, len(gold_set))))


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over at least one question."""
    return {
        name: math.fsum(question[name] for question in scores) / len(scores) for name in scores[0]
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _checked(ranked: Sequence[str], gold: Collection[str]) -> set[str]:
    if len(set(ranked)) != len(ranked):
        raise ValueError("a ranking has an id twice")
    if not gold:
        raise ValueError("a question without gold has no score")
    return set(gold)


def _discount(index: int) -> float:
    return 1.0 / math.log2(index + 2)
