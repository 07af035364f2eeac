"""The lines of a run's files: a question, and what one system found for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.datasets.splits import side
from eval.json_files import Json
from eval.metrics import longmemeval_official, ranking
from eval.metrics.evidence import BUDGETS, DEPTH, evidence
from eval.runs.trec import Ranking
from eval.systems.prompt import as_hits, fill, fits
from eval.systems.system import RetrievedTurn, System
from memory_service.tokens.counting import TokenCounter

TOP_K = 50
"""Turns of a search: the `top_k` that `/v1/search` is asked for."""
SHOWN_WRONG_TURNS = 3
SHOWN_CHARS = 300


class SystemAnswer(NamedTuple):
    """What a system found for a question: the line of its file, and the ranking."""

    line: Json
    ranking: Ranking


def question_line(dataset: Dataset, question: Question) -> Json:
    """Return the line of a question, with the turns that answer it."""
    group = dataset.group(question)
    turns = {
        turn.id: turn for name in dataset.scope(question) for turn in dataset.conversations[name]
    }
    return {
        "id": question.id,
        "question": question.text,
        "answer": question.answer,
        "category": question.category,
        "language": question.language,
        "now": question.now.isoformat(),
        "group": group,
        "side": side(group),
        "scope_turns": len(turns),
        "gold": [
            _turn_excerpt(turns[turn_id]) if turn_id in turns else {"id": turn_id}
            for turn_id in question.gold
        ],
    }


def ask(
    dataset: Dataset, system: System, question: Question, counter: TokenCounter
) -> SystemAnswer:
    """Ask a system a question. The time is that of the search alone, in this process."""
    began = time.perf_counter()
    retrieved = system.search(question, TOP_K)
    seconds = time.perf_counter() - began
    offered = system.for_prompt(question, DEPTH)
    ranked = [hit.turn.id for hit in retrieved]
    line: Json = {
        "id": question.id,
        "seconds": round(seconds, 6),
        "metrics": ranking.score_fully(ranked, question.gold) if question.gold else None,
        "silent": not offered,
        "evidence": _evidence(question, offered, counter),
        "found": ranked,
        "instead": _wrong_turns(question, retrieved),
    }
    if question.gold_conversations:
        line |= _conversation_metrics(dataset, system, question)
    return SystemAnswer(line, [(hit.turn.id, hit.score) for hit in retrieved])


def _conversation_metrics(dataset: Dataset, system: System, question: Question) -> Json:
    """Return the metrics of a set that knows which conversations hold an answer."""
    turns = [hit.turn for hit in system.search(question, DEPTH)]
    reached = list(dict.fromkeys(turn.conversation for turn in turns))
    return {
        "official": longmemeval_official.score(dataset, question, [turn.id for turn in turns]),
        "conversations": ranking.score_fully(reached, question.gold_conversations),
    }


def _evidence(question: Question, offered: Sequence[RetrievedTurn], counter: TokenCounter) -> Json:
    """Return the evidence in the prompt of each budget."""
    lines: Json = {}
    hits = as_hits(offered)
    for budget in BUDGETS:
        if fits(question, budget, counter):
            prompt = fill(question, hits, budget, counter)
            part = evidence(question, prompt.turn_ids, prompt.recalled_block)
            size = {"turns": len(prompt.turn_ids), "tokens": prompt.tokens}
            lines[str(budget)] = {"gold": part.gold, "answer": part.answer, **size}
        else:
            # A long paste does not fit into a small prompt, which then holds nothing of any system.
            part = evidence(question, [], "")
            lines[str(budget)] = {"gold": part.gold, "answer": part.answer}
    return lines


def _wrong_turns(question: Question, retrieved: Sequence[RetrievedTurn]) -> list[Json]:
    """Return the first turns that were found and do not answer."""
    wrong = [hit.turn for hit in retrieved if hit.turn.id not in question.gold]
    return [_turn_excerpt(turn) for turn in wrong[:SHOWN_WRONG_TURNS]]


def _turn_excerpt(turn: DatasetTurn) -> Json:
    """Return a turn with the beginning of its text."""
    text = turn.text if len(turn.text) <= SHOWN_CHARS else f"{turn.text[:SHOWN_CHARS]}…"
    return {
        "id": turn.id,
        "speaker": turn.speaker or turn.role,
        "time": turn.time.isoformat(),
        "text": text,
    }
