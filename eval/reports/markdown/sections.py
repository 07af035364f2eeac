"""The sections that compare sets: results, leads, ablations, both modes, and growth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.json_files import Json
from eval.metrics import statistics
from eval.reports.markdown import cells
from eval.reports.markdown.sets import (
    EVIDENCE,
    NDCG,
    RECALL,
    SIDES_SHOWN,
    SetRuns,
    metric_of,
)
from eval.runs.run_folder import RunFolder
from eval.runs.summary import ALL, SILENT, reported, value
from eval.systems.system import PRODUCT, WITHOUT

OTHERS = ("bm25", "dense-local")
"""The systems that the product is compared with in the first tables."""


def glance(sets: Sequence[SetRuns]) -> str:
    """Return the main metrics of the product beside those of the other systems."""
    systems = (PRODUCT, *OTHERS)
    head = ["set", "side", "questions", f"{NDCG}<br>{PRODUCT}"]
    head += [f"{RECALL}<br>{name}" for name in systems]
    head += [f"{EVIDENCE}<br>{name}" for name in systems]
    rows = [
        _glance_row(runs, side)
        for runs in sets
        for side in SIDES_SHOWN
        if runs.systems[PRODUCT]["by_side"][side]["questions"]
    ]
    return cells.section(
        "At a glance",
        "Gold turns among the first ten, and in a prompt of 1,000 tokens that every system fills.",
        cells.table(head, rows, words=2),
    )


def _glance_row(runs: SetRuns, side: str) -> list[str]:
    parts = {name: metrics["by_side"][side] for name, metrics in runs.systems.items()}
    product = parts[PRODUCT]
    number = f"{product['questions']:,}"
    row = [runs.name, runs.side(side), number, cells.bare(metric_of(product, NDCG))]
    for metric in (RECALL, EVIDENCE):
        row.append(cells.interval(metric_of(product, metric)))
        row += [cells.bare(metric_of(parts.get(name), metric)) for name in OTHERS]
    return row


def leads(sets: Sequence[SetRuns]) -> str:
    """Return the product's lead over the other systems."""
    metrics = (RECALL, NDCG, EVIDENCE)
    rows = [
        [
            runs.name,
            other,
            runs.side(side),
            *(cells.lead(runs.lead(other, side, metric)) for metric in metrics),
        ]
        for runs in sets
        for other in OTHERS
        for side in SIDES_SHOWN
        if runs.lead(other, side, RECALL)
    ]
    return cells.section(
        "What the product has ahead",
        "Paired, question by question.",
        cells.table(["set", "over", "side", *metrics], rows, words=3),
    )


def ablations(sets: Sequence[SetRuns], side: str) -> str:
    """Return what recall loses without each part of the ranking; empty without ablations."""
    shown = [runs for runs in sets if any(name.startswith(WITHOUT) for name in runs.systems)]
    others = dict.fromkeys(
        name for runs in shown for name in runs.systems if name.startswith(WITHOUT)
    )
    if not others:
        return ""
    columns = [runs for runs in shown if any(runs.lead(name, side, RECALL) for name in others)]
    rows = [
        [
            name.removeprefix(WITHOUT).replace("_", " "),
            *(cells.lead(runs.lead(name, side, RECALL)) for runs in columns),
        ]
        for name in others
    ]
    head = ["part", *(f"{runs.name}{runs.few(side)}" for runs in columns)]
    table = cells.table(head, rows, words=1)
    floor = _relevance_floor(shown, side)
    if side != "held_back":
        return f"{table}\n\n{floor}"
    return cells.section(
        "What each part earns",
        f"What {RECALL} loses without it, on the held-back side.",
        table,
        floor,
    )


def _relevance_floor(sets: Sequence[SetRuns], side: str) -> str:
    """Return what the relevance floor earns: it changes no ranking, only what is silent."""
    parts = [
        f"{runs.name} {cells.lead(lead)}"
        for runs in sets
        if (lead := runs.lead(f"{WITHOUT}floor", side, SILENT))
    ]
    if not parts:
        return ""
    return f"The floor changes no ranking; in rightful silence it earns {'; '.join(parts)}."


def both_modes(sets: Sequence[SetRuns]) -> str:
    """Return both ways to compare vectors side by side; empty if no set was run in both."""
    rows = [_both_modes_row(runs, runs.by_chroma) for runs in sets if runs.by_chroma is not None]
    if not rows:
        return ""
    head = ["set", "questions"]
    for metric in (RECALL, EVIDENCE):
        head += [f"{metric}<br>in memory", "Chroma", "difference"]
    return cells.section(
        "Both ways to compare vectors",
        "`MEMORY_EXACT_SCAN_MAX` as it is, and 0: Chroma answers every query of vectors.",
        cells.table(head, rows, words=1),
    )


def _both_modes_row(runs: SetRuns, by_chroma: RunFolder) -> list[str]:
    memory, chroma = (_reported_answers(run) for run in (runs.main, by_chroma))
    groups = [runs.main.questions[question_id]["group"] for question_id in memory]
    row = [f"{runs.name}{runs.few(ALL)}", f"{len(memory):,}"]
    for metric in (RECALL, EVIDENCE):
        first, second = (
            [value(lines[question_id], metric) or 0.0 for question_id in memory]
            for lines in (memory, chroma)
        )
        seed = int(runs.main.about["seed"])
        difference = statistics.difference(second, first, groups, seed=seed)
        row += [f"{math.fsum(values) / len(values):.3f}" for values in (first, second)]
        row.append(cells.lead(asdict(difference)))
    return row


def _reported_answers(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """Return what the product found for each reported question."""
    pairs = [(run.questions[line["id"]], line) for line in run.answers(PRODUCT)]
    return {line["id"]: line for _, line in reported(pairs)}


def growth(result: Mapping[str, Any]) -> str:
    """Return what `python -m eval growth` wrote, a row for each size and mode."""
    many = result["plan"]["layout"] == "many"
    head = ["conversations" if many else "turns", "vectors", RECALL, EVIDENCE]
    head += ["search, ms", "context, ms", "memory, MB", "disk, MB"]
    title = "in ever more conversations of one user" if many else "in one conversation"
    number = max((measured["questions"] for measured in result["sizes"]), default=0)
    return cells.section(
        f"Growth {title}",
        f"{number:,} questions of {cells.text(result['dataset']['name'])}; times: p50 / p99.",
        cells.table(head, map(_growth_row, result["sizes"]), words=2),
    )


def _growth_row(measured: Json) -> list[str]:
    by_chroma = measured["exact_scan_max"] < measured["passages"]
    memory = measured["memory"]
    return [
        f"{measured['size']:,}",
        "Chroma" if by_chroma else "in memory",
        f"{measured[RECALL]:.3f}",
        f"{measured[EVIDENCE]:.3f}",
        *(
            " / ".join(f"{measured[stage][name]:.1f}" for name in ("p50", "p99"))
            for stage in ("search_ms", "context_ms")
        ),
        "-" if memory is None else f"{memory['rss_bytes'] / 1e6:,.0f}",
        f"{measured['disk_bytes']['total'] / 1e6:,.0f}",
    ]
