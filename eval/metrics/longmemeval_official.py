"""LongMemEval's own way of counting, so that numbers can stand beside published ones.

It differs from ours in five points, all read off its evaluation code (`src/retrieval`): only turns
of the user can be found or be gold; a question without such gold, or one that asks for what was
never said, is left out; recall is 1 or 0 (any of the gold, or all of it); the gain of the second
place is not discounted; and for sessions a turn counts as its session, where a session's turns
that do not answer are another session than those that do.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from eval.datasets import Dataset, Question

CUT_AT = (1, 3, 5, 10, 30, 50)


def score(dataset: Dataset, question: Question, ranked: Sequence[str]) -> dict[str, float] | None:
    """Return the metrics by name (`turn_recall_all@5`), None where the question is left out.

    `ranked` may hold the assistant's turns; they are passed over.
    """
    sessions = {
        turn.id: name
        for name in dataset.places(question)
        for turn in dataset.conversations[name]
        if turn.role == "user"
    }
    gold = frozenset(question.gold).intersection(sessions)
    if not gold:
        return None
    said = [one for one in ranked if one in sessions]
    # A turn stands for its session, and whether it answers is a part of that session's name.
    as_sessions = [(sessions[one], one in gold) for one in said]
    wanted = frozenset((sessions[one], True) for one in gold)
    found: dict[str, float] = {}
    for k in CUT_AT:
        found |= _at(f"turn_{{}}@{k}", said[:k], gold, len(gold), k)
        reach = _reach(as_sessions, k)
        found |= _at(f"session_{{}}@{k}", as_sessions[:reach], wanted, len(gold), reach)
    return found


def _at(
    name: str, first: Sequence[Hashable], gold: frozenset[Hashable], relevant: int, k: int
) -> dict[str, float]:
    """Return the three metrics of a cut; `relevant` entries of the corpus are gold."""
    seen = gold.intersection(first)
    gained = math.fsum(_discount(at) for at, one in enumerate(first) if one in gold)
    ideal = math.fsum(_discount(at) for at in range(min(k, relevant)))
    return {
        name.format("recall_any"): float(bool(seen)),
        name.format("recall_all"): float(seen == gold),
        name.format("ndcg_any"): gained / ideal,
    }


def _reach(sessions: Sequence[tuple[str, bool]], k: int) -> int:
    """Return how many turns have to be read until they are of k sessions; at least k."""
    reach = k
    while reach < len(sessions) and len(set(sessions[:reach])) < k:
        reach += 1
    return reach


def _discount(at: int) -> float:
    return 1.0 if at == 0 else 1.0 / math.log2(at + 1)
