"""A report as one HTML file that loads nothing, runs nothing, and shows transcripts as text.

`text` escapes everything that comes out of a run; in addition a policy in the page forbids scripts
and outside references.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.datasets.models import ADVERSARIAL
from eval.datasets.splits import SIDES
from eval.reports import charts
from eval.runs.run_folder import RunFolder
from eval.runs.summary import ALL, REPORTED, value
from eval.systems.system import PRODUCT

METRICS = ("recall@5", "recall@10", "recall@25", "recall@50", "ndcg@10", "mrr")
FURTHER = ("recall_any@5", "recall_any@10", "recall_all@5", "recall_all@10")

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #eaeef2; }
th:first-child, td:first-child { text-align: left; } caption { text-align: left; color: #57606a; }
small { color: #57606a; } .up { color: #116329; } .down { color: #a40e26; }
details { margin: .5rem 0; } blockquote { margin: .2rem 1rem; border-left: 3px solid #d0d7de;
       padding-left: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
blockquote.gold { border-color: #2da44e; } blockquote.wrong { border-color: #cf222e; }
svg { max-width: 100%; height: auto; }
"""

Json = Mapping[str, Any]


def render(folders: Sequence[RunFolder], worst: int) -> str:
    """Return the page; `worst` is how many questions of each run it shows in full."""
    latency = f"<h2>Latency against size</h2>{charts.latency(folders)}"
    sections = "".join(_run(folder, worst) for folder in folders)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body>"
        f"<h1>Evaluation</h1>{latency}{sections}</body></html>\n"
    )


def text(value: object) -> str:
    """Return anything as text of the page."""
    return html.escape(str(value), quote=True)


def _run(folder: RunFolder, worst: int) -> str:
    return "".join(
        [
            f"<h2>{text(folder.about['dataset'])}</h2>",
            _about(folder),
            _metrics("Reported (adversarial questions apart)", folder, REPORTED),
            _metrics("All questions with gold", folder, ALL),
            "<h3>Evidence in the prompt</h3>",
            charts.evidence(folder),
            _evidence(folder),
            _ablation(folder),
            _leads(folder),
            _breakdowns(folder),
            _other_counts(folder),
            _worst_questions(folder, worst),
        ]
    )


def _about(folder: RunFolder) -> str:
    about = folder.about
    split = "; ".join(
        f"{side.replace('_', ' ')}: {', '.join(about['split'][side]) or 'none'}" for side in SIDES
    )
    rows = {
        "questions, conversations, turns": f"{about['questions']:,}, {about['conversations']:,}, "
        f"{about['turns']:,}",
        "hash of the set": about["dataset_hash"],
        "commit": f"{about['commit']}{' (changed)' if about['dirty'] else ''}",
        "measured at": about["measured_at"],
        "machine": f"{about['platform']}, {about['cpu_count']} processors, "
        f"Python {about['python']}",
        "packages": ", ".join(f"{name} {number}" for name, number in about["packages"].items()),
        "embedder": about["embedder"],
        "prompts counted by": about["counter"],
        "exact_scan_max": about["settings"]["exact_scan_max"],
        "ties": about["ties"],
        "seed": about["seed"],
        "split": split,
    }
    body = "".join(f"<tr><td>{text(name)}<td>{text(value)}" for name, value in rows.items())
    return f"<details><summary>What this was measured on</summary><table>{body}</table></details>"


def _metrics(caption: str, folder: RunFolder, part_name: str) -> str:
    systems = folder.metrics["systems"].items()
    parts = {system: metrics[part_name] for system, metrics in systems if part_name in metrics}
    if not any(part["questions"] for part in parts.values()):
        return ""
    names = (*METRICS, *FURTHER)
    rows = [
        [text(system), *(_interval(part["metrics"].get(name)) for name in names)]
        for system, part in parts.items()
    ]
    return _table(caption, ["system", *names], rows)


def _ablation(folder: RunFolder) -> str:
    chart = charts.ablation(folder)
    return f"<h3>What each part earns</h3>{chart}" if chart else ""


def _evidence(folder: RunFolder) -> str:
    budgets = [str(budget) for budget in folder.about["budgets"]]
    rows = []
    for system, metrics in folder.metrics["systems"].items():
        prompts = metrics[REPORTED]["evidence"]
        gold, answers = (
            [_interval(prompts.get(budget, {}).get(kind)) for budget in budgets]
            for kind in ("gold", "answer")
        )
        rows.append([text(system), *gold])
        rows.append([f"<small>{text(system)}, short answers</small>", *answers])
    head = ["share of gold turns (and of short answers) in a prompt of", *budgets]
    return _table("Every system fills the same prompt, in tokens", head, rows)


def _leads(folder: RunFolder) -> str:
    rows = []
    for lead in folder.metrics["paired"]:
        sign = "up" if lead["low"] > 0 else "down" if lead["high"] < 0 else ""
        interval = f"<small>[{lead['low']:+.3f}, {lead['high']:+.3f}]</small>"
        names = map(text, (lead["other"], lead["side"], lead["metric"]))
        cell = f'<span class="{sign}">{lead["mean"]:+.3f} {interval}</span>'
        rows.append([*names, cell, text(f"{lead['units']} {lead['unit']}")])
    head = ["the product's lead over", "on", "metric", "lead", "drawn"]
    return _table("Paired, question by question", head, rows) if rows else ""


def _breakdowns(folder: RunFolder) -> str:
    """Return the recall by category, by language and by side."""
    kinds = ("by_category", "by_language", "by_side")
    return "".join(_breakdown(folder, kind) for kind in kinds)


def _breakdown(folder: RunFolder, kind: str) -> str:
    systems = folder.metrics["systems"]
    names = sorted({name for metrics in systems.values() for name in metrics.get(kind, ())})
    rows = []
    for name in names:
        parts = [metrics[kind].get(name) for metrics in systems.values() if kind in metrics]
        number = max((part["questions"] for part in parts if part), default=0)
        rows.append([f"{text(name)} <small>({number:,})</small>", *map(_mean_recall, parts)])
    if not rows:
        return ""
    head = [kind.removeprefix("by_"), *systems]
    return _table(f"recall@10 {kind.replace('_', ' ')}", head, rows)


def _other_counts(folder: RunFolder) -> str:
    """Return the metrics that are counted in another way, of sets that have them."""
    captions = {
        "official": "Counted as the set's authors count",
        "conversations": "Of conversations that hold the answer, reached by their first turn",
    }
    return "".join(_counted(folder, kind, caption) for kind, caption in captions.items())


def _counted(folder: RunFolder, kind: str, caption: str) -> str:
    systems = folder.metrics["systems"]
    counted = {name: metrics[kind] for name, metrics in systems.items() if kind in metrics}
    if not counted:
        return ""
    first = next(iter(counted.values()))
    names = [
        name
        for name in first["metrics"]
        if name.endswith(("@5", "@10")) and "recall_any" not in name
    ]
    rows = [
        [text(system), *(f"{part['metrics'][name]:.3f}" for name in names)]
        for system, part in counted.items()
    ]
    return _table(f"{caption} ({first['questions']:,} questions)", ["system", *names], rows)


def _worst_questions(folder: RunFolder, number: int) -> str:
    """Return the questions that the product (else the first system) answers worst."""
    system = PRODUCT if PRODUCT in folder.systems else folder.systems[0]
    lines = [
        line
        for line in folder.answers(system)
        if line["metrics"] and folder.questions[line["id"]]["category"] != ADVERSARIAL
    ]
    lines.sort(key=lambda line: (value(line, "recall@10"), value(line, "ndcg@10"), line["id"]))
    shown = "".join(_question(folder.questions[line["id"]], line) for line in lines[:number])
    return f"<h3>Worst questions of {text(system)}</h3>{shown}" if shown else ""


def _question(question: Json, line: Json) -> str:
    """Return a question with its gold and the turns that were found instead."""
    ranks = {turn_id: rank for rank, turn_id in enumerate(line["found"], start=1)}
    gold = "".join(
        _quote("gold", turn, f"answers; found at {ranks.get(turn['id'], 'no place')}")
        for turn in question["gold"]
    )
    instead = "".join(
        _quote("wrong", turn, f"found at {ranks[turn['id']]} instead") for turn in line["instead"]
    )
    score = f"recall@10 {line['metrics']['recall@10']:.2f}"
    head = (
        f"<b>{text(question['question'])}</b> <small>{text(question['category'])}, {score}</small>"
    )
    answer = f"<p>Answer: {text(question['answer'])}</p>" if question["answer"] else ""
    return f"<details><summary>{head}</summary>{answer}{gold}{instead}</details>"


def _quote(kind: str, turn: Json, note: str) -> str:
    origin = " ".join(text(turn[name]) for name in ("time", "speaker") if name in turn)
    head = f"<small>{origin} · {text(turn['id'])} · {text(note)}</small>"
    return f'<blockquote class="{kind}">{head}\n{text(turn.get("text", ""))}</blockquote>'


def _interval(metric: Json | None) -> str:
    if metric is None:
        return "-"
    return f"{metric['mean']:.3f} <small>[{metric['low']:.3f}, {metric['high']:.3f}]</small>"


def _mean_recall(part: Json | None) -> str:
    return f"{part['metrics']['recall@10']['mean']:.3f}" if part and part["questions"] else "-"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; its caption and its head are text."""
    top = "".join(f"<th>{text(name)}" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f"<table><caption>{text(caption)}</caption><tr>{top}{body}</table>"
