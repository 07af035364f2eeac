"""LongMemEval's own way of counting, so that numbers can be compared with published ones. Pure.

It differs from `ranking` in five points, all taken from its evaluation code (`src/retrieval`):

* Only turns of the user can be found or be gold.
* A question without such gold, or one that asks for what was never said, is left out.
* Recall is 1 or 0 (any of the gold, or all of it).
* The gain of the second place is not discounted.
* For sessions a turn counts as its session, where the turns of a session that do not answer are a
  session of their own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from eval.datasets.models import Dataset, Question

CUT_AT = (1, 3, 5, 10, 30, 50)


def score(dataset: Dataset, question: Question, ranked: Sequence[str]) -> dict[str, float] | None:
    """Return the metrics by name (`turn_recall_all@5`), None where the question is left out.

    `ranked` may hold the assistant's turns; they are ignored.
    """
    sessions = {
        turn.id: name
        for name in dataset.scope(question)
        for turn in dataset.conversations[name]
        if turn.role == "user"
    }
    gold = frozenset(question.gold).intersection(sessions)
    if not gold:
        return None
    ranked_turns = [turn_id for turn_id in ranked if turn_id in sessions]
    # A turn counts as its session; the session's name includes whether the turn answers.
    ranked_sessions = [(sessions[turn_id], turn_id in gold) for turn_id in ranked_turns]
    gold_sessions = frozenset((sessions[turn_id], True) for turn_id in gold)
    metrics: dict[str, float] = {}
    for k in CUT_AT:
        metrics |= _at(f"turn_{{}}@{k}", ranked_turns[:k], gold, len(gold), k)
        reach = _reach(ranked_sessions, k)
        first = ranked_sessions[:reach]
        metrics |= _at(f"session_{{}}@{k}", first, gold_sessions, len(gold), reach)
    return metrics


def _at(
    name: str, first: Sequence[Hashable], gold: frozenset[Hashable], relevant: int, k: int
) -> dict[str, float]:
    """Return the three metrics of a cut; `relevant` entries of the corpus are gold."""
    seen = gold.intersection(first)
    gain = math.fsum(_discount(index) for index, entry in enumerate(first) if entry in gold)
    ideal = math.fsum(_discount(index) for index in range(min(k, relevant)))
    return {
        name.format("recall_any"): float(bool(seen)),
        name.format("recall_all"): float(seen == gold),
        name.format("ndcg_any"): gain / ideal,
    }


def _reach(sessions: Sequence[tuple[str, bool]], k: int) -> int:
    """Return how many turns have to be read until they are of k sessions; at least k."""
    reach = k
    while reach < len(sessions) and len(set(sessions[:reach])) < k:
        reach += 1
    return reach


def _discount(index: int) -> float:
    return 1.0 if index == 0 else 1.0 / math.log2(index + 1)
