"""A report as one HTML file: it loads nothing, runs nothing, and shows transcripts as text.

Everything that comes out of a run is escaped here, in `text`; a policy in the page forbids scripts
and outside references all the same.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.datasets.splits import SIDES
from eval.reports import plots
from eval.reports.summary import ADVERSARIAL, ALL, REPORTED, value
from eval.runs.run_folder import RunFolder
from eval.systems import PRODUCT

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
    sections = "".join(_run(folder, worst) for folder in folders)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body>"
        f"<h1>Evaluation</h1>{_latency(folders)}{sections}</body></html>\n"
    )


def text(value: object) -> str:
    """Return anything as text of the page."""
    return html.escape(str(value), quote=True)


def _latency(folders: Sequence[RunFolder]) -> str:
    return f"<h2>Latency against size</h2>{plots.latency(folders)}"


def _run(folder: RunFolder, worst: int) -> str:
    return "".join(
        [
            f"<h2>{text(folder.about['dataset'])}</h2>",
            _about(folder),
            _table("Reported (adversarial questions apart)", folder, REPORTED),
            _table("All questions with gold", folder, ALL),
            "<h3>Evidence in the prompt</h3>",
            plots.evidence(folder),
            _evidence(folder),
            _ablation(folder),
            _paired(folder),
            _categories(folder),
            _otherwise(folder),
            _worst(folder, worst),
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
        "packages": ", ".join(f"{name} {found}" for name, found in about["packages"].items()),
        "embedder": about["embedder"],
        "prompts counted by": about["counter"],
        "exact_scan_max": about["settings"]["exact_scan_max"],
        "ties": about["ties"],
        "seed": about["seed"],
        "split": split,
    }
    body = "".join(f"<tr><td>{text(name)}<td>{text(one)}" for name, one in rows.items())
    return f"<details><summary>What this was measured on</summary><table>{body}</table></details>"


def _table(caption: str, folder: RunFolder, part: str) -> str:
    found = {name: one.get(part) for name, one in folder.metrics["systems"].items()}
    if not any(one and one["questions"] for one in found.values()):
        return ""
    names = (*METRICS, *FURTHER)
    rows = [
        [text(system), *(_interval(one["metrics"].get(name)) for name in names)]
        for system, one in found.items()
        if one
    ]
    return _html_table(caption, ["system", *names], rows)


def _ablation(folder: RunFolder) -> str:
    plot = plots.ablation(folder)
    return f"<h3>What each part earns</h3>{plot}" if plot else ""


def _evidence(folder: RunFolder) -> str:
    budgets = [str(budget) for budget in folder.about["budgets"]]
    rows = []
    for system, one in folder.metrics["systems"].items():
        prompts = one[REPORTED]["evidence"]
        rows.append([text(system), *(_interval(prompts.get(b, {}).get("gold")) for b in budgets)])
        answers = [_interval(prompts.get(b, {}).get("answer")) for b in budgets]
        rows.append([f"<small>{text(system)}, short answers</small>", *answers])
    head = ["share of gold turns (and of short answers) in a prompt of", *budgets]
    return _html_table("Every system fills the same prompt, in tokens", head, rows)


def _paired(folder: RunFolder) -> str:
    rows = []
    for one in folder.metrics["paired"]:
        sign = "up" if one["low"] > 0 else "down" if one["high"] < 0 else ""
        lead = f"{one['mean']:+.3f} <small>[{one['low']:+.3f}, {one['high']:+.3f}]</small>"
        unit = f"{one['units']} {one['unit']}"
        cells = [one["other"], one["side"], one["metric"]]
        rows.append(
            [
                *map(text, cells),
                f'<span class="{sign}">{lead}</span>',
                text(unit),
            ]
        )
    head = ["the product's lead over", "on", "metric", "lead", "drawn"]
    return _html_table("Paired, question by question", head, rows) if rows else ""


def _categories(folder: RunFolder) -> str:
    shown = []
    for kind in ("by_category", "by_language", "by_side"):
        systems = folder.metrics["systems"]
        parts = sorted({part for one in systems.values() for part in one.get(kind, ())})
        rows = []
        for part in parts:
            found = {name: one[kind].get(part) for name, one in systems.items() if kind in one}
            number = max((one["questions"] for one in found.values() if one), default=0)
            cells = [_mean(one) for one in found.values()]
            rows.append([f"{text(part)} <small>({number:,})</small>", *cells])
        if rows:
            head = [kind.removeprefix("by_"), *systems]
            shown.append(_html_table(f"recall@10 {kind.replace('_', ' ')}", head, rows))
    return "".join(shown)


def _otherwise(folder: RunFolder) -> str:
    """Return what is counted in another way, of sets that know it."""
    ways = {
        "official": "Counted as the set's authors count",
        "conversations": "Of conversations that hold the answer, reached by their first turn",
    }
    return "".join(_counted(folder, kind, caption) for kind, caption in ways.items())


def _counted(folder: RunFolder, kind: str, caption: str) -> str:
    systems = folder.metrics["systems"]
    found = {name: one[kind] for name, one in systems.items() if kind in one}
    if not found:
        return ""
    first = next(iter(found.values()))
    names = [
        name
        for name in first["metrics"]
        if name.endswith(("@5", "@10")) and "recall_any" not in name
    ]
    rows = [
        [text(system), *(f"{one['metrics'][name]:.3f}" for name in names)]
        for system, one in found.items()
    ]
    return _html_table(f"{caption} ({first['questions']:,} questions)", ["system", *names], rows)


def _worst(folder: RunFolder, number: int) -> str:
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
    score = f"recall@10 {line['metrics']['recall@10']:.2f}"
    places = {one: place for place, one in enumerate(line["found"], start=1)}
    gold = "".join(
        _quote("gold", one, f"answers; found at {places.get(one['id'], 'no place')}")
        for one in question["gold"]
    )
    instead = "".join(
        _quote("wrong", one, f"found at {places[one['id']]} instead") for one in line["instead"]
    )
    head = (
        f"<b>{text(question['question'])}</b> <small>{text(question['category'])}, {score}</small>"
    )
    answer = f"<p>Answer: {text(question['answer'])}</p>" if question["answer"] else ""
    return f"<details><summary>{head}</summary>{answer}{gold}{instead}</details>"


def _quote(kind: str, turn: Json, what: str) -> str:
    said = " ".join(text(turn[name]) for name in ("time", "speaker") if name in turn)
    body = (
        f"<small>{said} · {text(turn['id'])} · {text(what)}</small>\n{text(turn.get('text', ''))}"
    )
    return f'<blockquote class="{kind}">{body}</blockquote>'


def _interval(one: Json | None) -> str:
    if one is None:
        return "-"
    return f"{one['mean']:.3f} <small>[{one['low']:.3f}, {one['high']:.3f}]</small>"


def _mean(part: Json | None) -> str:
    return f"{part['metrics']['recall@10']['mean']:.3f}" if part and part["questions"] else "-"


def _html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; its caption and its head are text."""
    top = "".join(f"<th>{text(one)}" for one in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f"<table><caption>{text(caption)}</caption><tr>{top}{body}</table>"
