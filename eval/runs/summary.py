"""The metrics of a run, computed from its per-question lines. Pure.

Every mean comes with its 95 % interval. The paired comparisons are of the product with each other
system, on the same questions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from eval.datasets.models import ADVERSARIAL
from eval.datasets.splits import SIDES
from eval.json_files import Json
from eval.metrics import ranking, statistics
from eval.metrics.evidence import BUDGETS
from eval.systems.system import PRODUCT

REPORTED = "without_adversarial"
"""The part of the questions that is reported first: those with gold that is meant to be found."""
ALL: Literal["all"] = "all"
BREAKDOWN_DRAWS = 2_000
"""Resamples behind the interval of a category or a language: there are many, and none decides."""
COMPARED = ("recall@10", "ndcg@10", "evidence@1000")
SILENT = "silent"
"""The metric of a question without gold: 1 if a prompt rightly gets nothing, else 0."""

Answered = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A question of a run, and what a system found for it."""


def summarise(
    questions: Mapping[str, Json], answers: Mapping[str, Sequence[Json]], *, seed: int
) -> Json:
    """Return the metrics by system, and the comparisons of the product with the others."""
    pairs = {
        system: [(questions[line["id"]], line) for line in lines]
        for system, lines in answers.items()
    }
    return {
        "systems": {system: _system(answered, seed) for system, answered in pairs.items()},
        "paired": list(_comparisons(pairs, seed)),
    }


def value(line: Mapping[str, Any], name: str) -> float | None:
    """Return a metric of one question; `evidence@1000` and `answer@1000` are of that prompt.

    None where it means nothing: recall without gold, an answer that is not short.
    """
    kind, _, budget = name.partition("@")
    if name == SILENT:
        metric = line["silent"]
    elif kind in {"evidence", "answer"}:
        prompt = line["evidence"][budget]
        metric = prompt["gold" if kind == "evidence" else "answer"]
    else:
        metric = None if line["metrics"] is None else line["metrics"][name]
    return None if metric is None else float(metric)


def reported(pairs: Iterable[Answered]) -> list[Answered]:
    """Return the questions with gold that is meant to be found."""
    return [pair for pair in pairs if pair[1]["metrics"] and pair[0]["category"] != ADVERSARIAL]


def _system(pairs: Sequence[Answered], seed: int) -> Json:
    """Return the metrics of one system."""
    kept = reported(pairs)
    scored = [pair for pair in pairs if pair[1]["metrics"]]
    summary: Json = {REPORTED: _part(kept, seed)}
    if any(question["category"] == ADVERSARIAL for question, _ in pairs):
        summary[ALL] = _part(scored, seed)
    summary["by_side"] = {side: _part(_of_side(kept, side), seed) for side in SIDES}
    summary["by_category"] = _by(scored, lambda question: question["category"], seed)
    if len({question["language"] for question, _ in kept}) > 1:
        summary["by_language"] = _by(kept, lambda question: question["language"] or "?", seed)
    summary["silent"] = _silent(pairs, seed)
    summary["silent_by_side"] = {side: _silent(_of_side(pairs, side), seed) for side in SIDES}
    summary["latency_ms"] = latency_ms([line["seconds"] for _, line in pairs])
    for kind in ("official", "conversations"):
        counted = [line[kind] for _, line in pairs if line.get(kind)]
        if counted:
            summary[kind] = {"questions": len(counted), "metrics": ranking.mean(counted)}
    return summary


def _of_side(pairs: Sequence[Answered], side: str) -> list[Answered]:
    return [pair for pair in pairs if pair[0]["side"] == side]


def _part(pairs: Sequence[Answered], seed: int, draws: int = statistics.RESAMPLES) -> Json:
    """Return the metrics of a part of the questions, with their intervals."""
    if not pairs:
        return {"questions": 0, "metrics": {}, "evidence": {}}
    groups = [question["group"] for question, _ in pairs]
    columns = {
        name: [line["metrics"][name] for _, line in pairs] for name in pairs[0][1]["metrics"]
    }
    evidence_columns = {
        f"evidence@{budget}": [value(line, f"evidence@{budget}") or 0.0 for _, line in pairs]
        for budget in BUDGETS
    }
    intervals = {
        name: asdict(interval)
        for name, interval in statistics.intervals(
            columns | evidence_columns, groups, seed=seed, draws=draws
        ).items()
    }
    number, answers = _answers(pairs, seed, draws)
    evidence = {
        str(budget): {
            "gold": intervals[f"evidence@{budget}"],
            "answers": number,
            "answer": answers.get(f"answer@{budget}"),
            "mean_tokens": _mean_tokens(pairs, budget),
        }
        for budget in BUDGETS
    }
    metrics = {name: intervals[name] for name in columns}
    return {"questions": len(pairs), "metrics": metrics, "evidence": evidence}


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
    intervals = statistics.intervals(columns, groups, seed=seed, draws=draws)
    return len(kept), {name: asdict(interval) for name, interval in intervals.items()}


def _mean_tokens(pairs: Sequence[Answered], budget: int) -> float | None:
    """Return the mean size of the prompts that their questions fit; None if there are none."""
    prompts = [line["evidence"][str(budget)] for _, line in pairs]
    sizes = [prompt["tokens"] for prompt in prompts if "tokens" in prompt]
    return round(math.fsum(sizes) / len(sizes), 1) if sizes else None


def _by(
    pairs: Sequence[Answered], key: Callable[[Mapping[str, Any]], str], seed: int
) -> dict[str, Json]:
    """Return the metrics of the questions of each key."""
    parts: defaultdict[str, list[Answered]] = defaultdict(list)
    for pair in pairs:
        parts[key(pair[0])].append(pair)
    return {name: _part(parts[name], seed, BREAKDOWN_DRAWS) for name in sorted(parts)}


def _silent(pairs: Sequence[Answered], seed: int) -> Json:
    """Return how often a prompt gets nothing: wrongly with gold, rightly without."""
    shares: Json = {}
    for name, has_gold in (("with_gold", True), ("without_gold", False)):
        kept = [pair for pair in pairs if bool(pair[0]["gold"]) is has_gold]
        values = [value(line, SILENT) or 0.0 for _, line in kept]
        groups = [question["group"] for question, _ in kept]
        share = asdict(statistics.interval(values, groups, seed=seed)) if kept else None
        shares[name] = {"questions": len(kept), "share": share}
    return shares


def latency_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return percentiles of times in seconds, as milliseconds."""
    return {
        f"p{percent}": round(1000 * ranking.percentile(seconds, percent / 100), 3)
        for percent in (50, 95, 99)
    }


def _comparisons(pairs: Mapping[str, Sequence[Answered]], seed: int) -> Iterator[Json]:
    """Yield the product's lead over each other system, on all questions and on each side."""
    if PRODUCT not in pairs:
        return
    product = pairs[PRODUCT]
    with_gold = reported(product)
    without_gold = [pair for pair in product if not pair[0]["gold"]]
    for other in pairs:
        if other == PRODUCT:
            continue
        lines = {line["id"]: line for _, line in pairs[other]}
        for side in (ALL, *SIDES):
            for metric in (*COMPARED, SILENT):
                of_metric = without_gold if metric == SILENT else with_gold
                chosen = of_metric if side == ALL else _of_side(of_metric, side)
                if chosen:
                    lead = _lead(chosen, lines, metric, seed)
                    yield {"other": other, "side": side, "metric": metric, **asdict(lead)}


def _lead(
    pairs: Sequence[Answered], others: Mapping[str, Mapping[str, Any]], metric: str, seed: int
) -> statistics.Difference:
    """Return the lead of the first system's lines over another's, on the same questions."""
    values = [value(line, metric) or 0.0 for _, line in pairs]
    other_values = [value(others[line["id"]], metric) or 0.0 for _, line in pairs]
    groups = [question["group"] for question, _ in pairs]
    return statistics.difference(values, other_values, groups, seed=seed)
