"""`python -m eval report`: shows runs as tables in the terminal, as JSON, and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from eval.console import complain, output_file
from eval.errors import EvaluationError
from eval.json_files import Json, write_json
from eval.reports.html import render
from eval.runs.run_folder import RunFolder
from eval.runs.summary import REPORTED
from eval.systems.system import PRODUCT
from memory_service.commands.terminal import harmless, stderr, stdout

_LEADS = ("recall@10", "evidence@1000")


def report(
    run: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    html: Annotated[Path | None, output_file("File for the whole report, with plots.")] = None,
    json_out: Annotated[Path | None, output_file("File for the metrics, as JSON.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Worst questions to show of each run.")] = 20,
) -> None:
    """Show runs: recall, evidence in the prompt, comparisons, and the worst questions."""
    try:
        folders = [RunFolder(path) for path in run]
        show(folders)
        if json_out is not None:
            write_json(
                json_out, {"runs": [{**folder.about, **folder.metrics} for folder in folders]}
            )
        if html is not None:
            html.write_text(render(folders, worst), encoding="utf-8")
    except (EvaluationError, OSError) as error:
        raise complain("report", error) from error


def show(folders: Sequence[RunFolder]) -> None:
    """Print two tables of each run: its systems, and the product's lead over them."""
    for folder in folders:
        for note in folder.about["notes"]:
            stderr().print(harmless(f"label {note}", style="yellow"))
        stdout().print(_systems_table(folder))
        if PRODUCT in folder.systems:
            stdout().print(_silence(folder.metrics["systems"][PRODUCT]["silent"]))
        if folder.metrics["paired"]:
            stdout().print(_leads_table(folder))


def _silence(silent: Json) -> str:
    """Return how often the product offered nothing to a prompt, rightly and wrongly."""
    parts = []
    for kind, words in (("without_gold", "have no gold"), ("with_gold", "have gold")):
        number = silent[kind]["questions"]
        empty = round(silent[kind]["share"]["mean"] * number) if number else 0
        parts.append(f"{empty} of the {number} questions that {words}")
    return f"The product offered nothing to a prompt for {parts[0]}, and for {parts[1]}."


def _systems_table(folder: RunFolder) -> Table:
    table = Table(
        title=harmless(_title(folder)), caption=harmless(_caption(folder)), collapse_padding=True
    )
    table.add_column("system", overflow="fold")
    for name in ("recall@10", "ndcg@10", "evidence\n@1000", "p50\nms"):
        table.add_column(name, justify="right", no_wrap=True)
    for system in folder.systems:
        metrics = folder.metrics["systems"][system]
        part = metrics[REPORTED]
        scores = [_interval(part["metrics"].get(name)) for name in ("recall@10", "ndcg@10")]
        evidence = _interval(part["evidence"].get("1000", {}).get("gold"))
        latency = f"{metrics['latency_ms']['p50']:.1f}"
        table.add_row(harmless(system), *scores, evidence, latency)
    return table


def _title(folder: RunFolder) -> str:
    """Return one line that describes a run."""
    about = folder.about
    dirty = ", changed" if about["dirty"] else ""
    commit = (about["commit"] or "no commit")[:10]
    return (
        f"{about['dataset']}: {about['questions']:,} questions, "
        f"{about['conversations']:,} conversations, {about['turns']:,} turns ({commit}{dirty})"
    )


def _caption(folder: RunFolder) -> str:
    """Return what the intervals were resampled over, and what counted the prompts."""
    parts = (folder.metrics["systems"][name][REPORTED] for name in folder.systems)
    drawn = {
        (metric["unit"], metric["units"]) for part in parts for metric in part["metrics"].values()
    }
    units = ", ".join(f"{number} {unit}" for unit, number in sorted(drawn))
    return f"95 % intervals, resampled over {units}; prompts counted by {folder.about['counter']}"


def _interval(metric: Json | None) -> str:
    """Return a mean and half the width of its interval, as thousandths."""
    if metric is None:
        return "-"
    half = (metric["high"] - metric["low"]) / 2
    return f"{metric['mean']:.3f} ±{half:.3f}".replace("0.", ".")


def _leads_table(folder: RunFolder) -> Table:
    """Return the leads on all questions and on each side; those above or below 0 are coloured."""
    table = Table(
        title="The product's lead, question by question; * marks an interval that excludes 0",
        collapse_padding=True,
    )
    table.add_column("over", overflow="fold")
    table.add_column("on", no_wrap=True)
    for name in _LEADS:
        table.add_column(name.replace("@1", "\n@1"), justify="right", no_wrap=True)
    rows: dict[tuple[str, str], dict[str, Json]] = {}
    for lead in folder.metrics["paired"]:
        if lead["metric"] in _LEADS:
            rows.setdefault((lead["other"], lead["side"]), {})[lead["metric"]] = lead
    for (other, side), leads in rows.items():
        table.add_row(harmless(other), side, *(_lead(leads[name]) for name in _LEADS))
    return table


def _lead(lead: Json) -> Text:
    significant = lead["low"] > 0 or lead["high"] < 0
    colour = ("green" if lead["mean"] > 0 else "red") if significant else ""
    half = (lead["high"] - lead["low"]) / 2
    return harmless(f"{lead['mean']:+.3f} ±{half:.3f}{'*' if significant else ' '}", colour)
