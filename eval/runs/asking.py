"""What one system finds for one question, as it stands in a run's files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from eval.datasets import Dataset, Question, Turn, splits
from eval.metrics import evidence, longmemeval_official, ranking
from eval.systems import Found, System
from memory_service.tokens.counting import TokenCounter

TOP_K = 50
"""Turns of a search, as `/v1/search` is asked for them."""
SHOWN_INSTEAD = 3
SHOWN_CHARS = 300

Json = dict[str, Any]


def asked(dataset: Dataset, question: Question) -> Json:
    """Return a question as a run holds it, with the turns that answer it."""
    group = dataset.group(question)
    turns = {
        turn.id: turn for name in dataset.places(question) for turn in dataset.conversations[name]
    }
    return {
        "id": question.id,
        "question": question.text,
        "answer": question.answer,
        "category": question.category,
        "language": question.language,
        "now": question.now.isoformat(),
        "group": group,
        "side": splits.side(group),
        "scope_turns": len(turns),
        "gold": [_shown(turns[one]) if one in turns else {"id": one} for one in question.gold],
    }


def answer(
    dataset: Dataset, system: System, question: Question, counter: TokenCounter
) -> tuple[Json, list[tuple[str, float]]]:
    """Return what a system found, and its ranking as (id, score), best first.

    The time is that of the search alone, in this process.
    """
    began = time.perf_counter()
    found = system.search(question, TOP_K)
    seconds = time.perf_counter() - began
    offered = system.for_prompt(question, evidence.DEPTH)
    ranked = [one.turn.id for one in found]
    line: Json = {
        "id": question.id,
        "seconds": round(seconds, 6),
        "metrics": ranking.score_fully(ranked, question.gold) if question.gold else None,
        "silent": not offered,
        "evidence": _evidence(question, offered, counter),
        "found": ranked,
        "instead": _instead(question, found),
    }
    if question.gold_conversations:
        deep = [one.turn for one in system.search(question, evidence.DEPTH)]
        line["official"] = longmemeval_official.score(dataset, question, [turn.id for turn in deep])
        reached = list(dict.fromkeys(turn.conversation for turn in deep))
        line["conversations"] = ranking.score_fully(reached, question.gold_conversations)
    return line, [(one.turn.id, one.score) for one in found]


def _evidence(question: Question, offered: Sequence[Found], counter: TokenCounter) -> Json:
    """Return what of the evidence is in the prompt of each budget that the question fits."""
    lines: Json = {}
    hits = evidence.as_hits(offered)
    for budget in evidence.BUDGETS:
        if not evidence.fits(question, budget, counter):
            # A long paste leaves no room in a small prompt: nothing is in it, for every system.
            nothing = evidence.Filled([], [], "", 0)
            seen = evidence.evidence(question, nothing)
            lines[str(budget)] = {"gold": seen.gold, "answer": seen.answer}
            continue
        seen = evidence.evidence(question, evidence.fill(question, hits, budget, counter))
        lines[str(budget)] = {
            "gold": seen.gold,
            "answer": seen.answer,
            "turns": seen.turns,
            "tokens": seen.tokens,
        }
    return lines


def _instead(question: Question, found: Sequence[Found]) -> list[Json]:
    """Return the first turns that were found and do not answer."""
    wrong = [one.turn for one in found if one.turn.id not in question.gold]
    return [_shown(turn) for turn in wrong[:SHOWN_INSTEAD]]


def _shown(turn: Turn) -> Json:
    text = turn.text if len(turn.text) <= SHOWN_CHARS else f"{turn.text[:SHOWN_CHARS]}…"
    return {
        "id": turn.id,
        "speaker": turn.speaker or turn.role,
        "time": turn.time.isoformat(),
        "text": text,
    }
