"""The metrics of a run, computed from its per-question lines. Pure.

Every mean comes with its 95 % interval; the paired comparisons are of the product against each
other system, on the same questions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from eval.datasets.splits import SIDES
from eval.metrics import ranking, statistics
from eval.metrics.evidence import BUDGETS
from eval.systems import PRODUCT

ADVERSARIAL = "adversarial"
"""LoCoMo's name for questions that no turn answers; their gold is a distractor, so what is
reported first leaves them out, and they stand apart.
"""
REPORTED = "without_adversarial"
ALL: Literal["all"] = "all"
BREAKDOWN_DRAWS = 2_000
"""Resamples behind the interval of a category or a language: there are many, and none decides."""
COMPARED = ("recall@10", "ndcg@10", "evidence@1000")
SILENT = "silent"
"""Of a question without gold: 1 if a prompt rightly gets nothing, else 0."""

Json = dict[str, Any]
Answered = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A question of a run, and what a system found for it."""


def summarise(
    questions: Mapping[str, Json], answers: Mapping[str, Sequence[Json]], *, seed: int
) -> Json:
    """Return the metrics by system and the comparisons of the first system with the others."""
    pairs = {
        system: [(questions[line["id"]], line) for line in lines]
        for system, lines in answers.items()
    }
    return {
        "systems": {system: _system(found, seed) for system, found in pairs.items()},
        "paired": _paired(pairs, seed),
    }


def value(line: Mapping[str, Any], name: str) -> float | None:
    """Return a metric of one question; `evidence@1000` and `answer@1000` are of that prompt.

    None where it means nothing: recall without gold, an answer that is not short.
    """
    kind, _, budget = name.partition("@")
    if name == SILENT:
        found = line["silent"]
    elif kind in {"evidence", "answer"}:
        prompt = line["evidence"][budget]
        found = prompt["gold" if kind == "evidence" else "answer"]
    else:
        found = None if line["metrics"] is None else line["metrics"][name]
    return None if found is None else float(found)


def reported(pairs: Iterable[Answered]) -> list[Answered]:
    """Return the questions with gold that is meant to be found."""
    return [pair for pair in pairs if pair[1]["metrics"] and pair[0]["category"] != ADVERSARIAL]


def _system(pairs: Sequence[Answered], seed: int) -> Json:
    kept = reported(pairs)
    found: Json = {REPORTED: _part(kept, seed)}
    if any(question["category"] == ADVERSARIAL for question, _ in pairs):
        found[ALL] = _part([pair for pair in pairs if pair[1]["metrics"]], seed)
    scored = [pair for pair in pairs if pair[1]["metrics"]]
    found["by_side"] = {
        side: _part([pair for pair in kept if pair[0]["side"] == side], seed) for side in SIDES
    }
    found["by_category"] = _by(scored, lambda question: question["category"], seed)
    if len({question["language"] for question, _ in kept}) > 1:
        found["by_language"] = _by(kept, lambda question: question["language"] or "?", seed)
    found["silent"] = _silent(pairs, seed)
    found["silent_by_side"] = {
        side: _silent([pair for pair in pairs if pair[0]["side"] == side], seed) for side in SIDES
    }
    found["latency_ms"] = _latency([line["seconds"] for _, line in pairs])
    for kind in ("official", "conversations"):
        counted = [line[kind] for _, line in pairs if line.get(kind)]
        if counted:
            found[kind] = {"questions": len(counted), "metrics": ranking.mean(counted)}
    return found


def _part(pairs: Sequence[Answered], seed: int, draws: int = statistics.RESAMPLES) -> Json:
    """Return the metrics of some questions with their intervals."""
    if not pairs:
        return {"questions": 0, "metrics": {}, "evidence": {}}
    groups = [question["group"] for question, _ in pairs]
    columns = {
        name: [line["metrics"][name] for _, line in pairs] for name in pairs[0][1]["metrics"]
    }
    columns |= {
        f"evidence@{budget}": [value(line, f"evidence@{budget}") or 0.0 for _, line in pairs]
        for budget in BUDGETS
    }
    found = {
        name: asdict(one)
        for name, one in statistics.intervals(columns, groups, seed=seed, draws=draws).items()
    }
    number, answers = _answers(pairs, seed, draws)
    evidence = {
        str(budget): {
            "gold": found.pop(f"evidence@{budget}"),
            "answers": number,
            "answer": answers.get(f"answer@{budget}"),
            "mean_tokens": _mean_tokens(pairs, budget),
        }
        for budget in BUDGETS
    }
    return {"questions": len(pairs), "metrics": found, "evidence": evidence}


def _answers(pairs: Sequence[Answered], seed: int, draws: int) -> tuple[int, Json]:
    """Return how many questions have a short answer to look for, and how often prompts hold it."""
    kept = [pair for pair in pairs if value(pair[1], f"answer@{BUDGETS[0]}") is not None]
    if not kept:
        return 0, {}
    columns = {
        name: [value(line, name) or 0.0 for _, line in kept]
        for name in (f"answer@{budget}" for budget in BUDGETS)
    }
    groups = [question["group"] for question, _ in kept]
    found = statistics.intervals(columns, groups, seed=seed, draws=draws)
    return len(kept), {name: asdict(one) for name, one in found.items()}


def _mean_tokens(pairs: Sequence[Answered], budget: int) -> float | None:
    """Return the mean size of the prompts that their questions fit; None if there are none."""
    prompts = [line["evidence"][str(budget)] for _, line in pairs]
    sizes = [prompt["tokens"] for prompt in prompts if "tokens" in prompt]
    return round(math.fsum(sizes) / len(sizes), 1) if sizes else None


def _by(
    pairs: Sequence[Answered], key: Callable[[Mapping[str, Any]], str], seed: int
) -> dict[str, Json]:
    parts: defaultdict[str, list[Answered]] = defaultdict(list)
    for pair in pairs:
        parts[key(pair[0])].append(pair)
    return {name: _part(parts[name], seed, BREAKDOWN_DRAWS) for name in sorted(parts)}


def _silent(pairs: Sequence[Answered], seed: int) -> Json:
    """Return how often a prompt gets nothing: rightly where nothing answers, else wrongly."""
    found = {}
    for name, wanted in (("with_gold", True), ("without_gold", False)):
        kept = [pair for pair in pairs if bool(pair[0]["gold"]) is wanted]
        values = [value(line, SILENT) or 0.0 for _, line in kept]
        groups = [question["group"] for question, _ in kept]
        share = asdict(statistics.interval(values, groups, seed=seed)) if kept else None
        found[name] = {"questions": len(kept), "share": share}
    return found


def _latency(seconds: Sequence[float]) -> Json:
    return {
        f"p{percent}": round(1000 * ranking.percentile(seconds, percent / 100), 3)
        for percent in (50, 95, 99)
    }


def _paired(pairs: Mapping[str, Sequence[Answered]], seed: int) -> list[Json]:
    """Return what the product has ahead of each other system, on all and on each side."""
    if PRODUCT not in pairs:
        return []
    ours = reported(pairs[PRODUCT])
    unanswerable = [pair for pair in pairs[PRODUCT] if not pair[0]["gold"]]
    found = []
    for system, theirs in pairs.items():
        others = {line["id"]: line for _, line in theirs}
        for part in ("", *SIDES):
            for name in (*COMPARED, SILENT) if system != PRODUCT else ():
                asked = unanswerable if name == SILENT else ours
                chosen = [pair for pair in asked if part in {"", pair[0]["side"]}]
                if not chosen:
                    continue
                first = [value(line, name) or 0.0 for _, line in chosen]
                second = [value(others[line["id"]], name) or 0.0 for _, line in chosen]
                groups = [question["group"] for question, _ in chosen]
                one = statistics.difference(first, second, groups, seed=seed)
                found.append({"other": system, "side": part or ALL, "metric": name, **asdict(one)})
    return found
