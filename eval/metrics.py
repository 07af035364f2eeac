"""The metrics of a ranking against the turns that answer the question. Pure.

A mean over questions counts each once, also one for which nothing was found (as `trec_eval -c`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

RECALL_AT = (5, 10, 25)
NDCG_AT = 10


def score(ranked: Sequence[str], gold: Collection[str]) -> dict[str, float]:
    """Return every metric of one question: `ranked` are ids, best first."""
    found = {f"recall@{k}": recall(ranked, gold, k) for k in RECALL_AT}
    return found | {f"ndcg@{NDCG_AT}": ndcg(ranked, gold, NDCG_AT)}


def recall(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the share of the gold that is among the first k."""
    wanted = _checked(ranked, gold)
    return len(wanted.intersection(ranked[:k])) / len(wanted)


def ndcg(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the discounted gain of the first k over that of min(k, |gold|) gold in front.

    A gold turn gains 1, any other 0; the gain at place n is divided by log2(n + 1).
    """
    wanted = _checked(ranked, gold)
    gained = math.fsum(_discount(at) for at, one in enumerate(ranked[:k]) if one in wanted)
    return gained / math.fsum(_discount(at) for at in range(min(k, len(wanted))))


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over at least one question."""
    return {name: math.fsum(one[name] for one in scores) / len(scores) for name in scores[0]}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _checked(ranked: Sequence[str], gold: Collection[str]) -> set[str]:
    if len(set(ranked)) != len(ranked):
        raise ValueError("a ranking has an id twice")
    if not gold:
        raise ValueError("a question without gold has no score")
    return set(gold)


def _discount(at: int) -> float:
    return 1.0 / math.log2(at + 2)
