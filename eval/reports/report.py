"""`python -m eval report`: runs as tables in the terminal, as JSON, and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from eval.console import complain, output_file
from eval.reports.html import render
from eval.reports.summary import REPORTED
from eval.runs import provenance
from eval.runs.run_folder import RunError, RunFolder
from eval.systems import PRODUCT
from memory_service.commands.terminal import harmless, stderr, stdout

Json = dict[str, Any]

_LEADS = ("recall@10", "evidence@1000")


def report(
    run: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    html: Annotated[Path | None, output_file("File for all of it, with plots.")] = None,
    json_out: Annotated[Path | None, output_file("File for the metrics, as JSON.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Worst questions shown of each run.")] = 20,
) -> None:
    """Show runs: recall, evidence in the prompt, comparisons, and what went wrong."""
    try:
        folders = [RunFolder(path) for path in run]
        show(folders)
        if json_out is not None:
            provenance.write_json(
                json_out, {"runs": [{**one.about, **one.metrics} for one in folders]}
            )
        if html is not None:
            html.write_text(render(folders, worst), encoding="utf-8")
    except (RunError, OSError) as error:
        raise complain("report", error) from error


def show(folders: Sequence[RunFolder]) -> None:
    """Print two tables of each run: its systems, and what the product has ahead of them."""
    for folder in folders:
        for note in folder.about["notes"]:
            stderr().print(harmless(f"label {note}", style="yellow"))
        stdout().print(_systems(folder))
        if PRODUCT in folder.systems:
            stdout().print(silence(folder.metrics["systems"][PRODUCT]["silent"]))
        if folder.metrics["paired"]:
            stdout().print(_paired(folder))


def silence(silent: Json) -> str:
    """Return how often the product offered nothing to a prompt, rightly and wrongly."""
    said = []
    for kind, word in (("without_gold", "have no gold"), ("with_gold", "have gold")):
        number = silent[kind]["questions"]
        empty = round(silent[kind]["share"]["mean"] * number) if number else 0
        said.append(f"{empty} of the {number} questions that {word}")
    return f"The product offered nothing to a prompt for {said[0]}, and for {said[1]}."


def interval(one: Json | None) -> str:
    """Return a mean and half the width of its interval, as thousandths."""
    if one is None:
        return "-"
    mean, half = one["mean"], (one["high"] - one["low"]) / 2
    return f"{mean:.3f} ±{half:.3f}".replace("0.", ".")


def title(folder: RunFolder) -> str:
    """Return what a run is about, in a line."""
    about = folder.about
    dirty = ", changed" if about["dirty"] else ""
    commit = (about["commit"] or "no commit")[:10]
    return (
        f"{about['dataset']}: {about['questions']:,} questions, "
        f"{about['conversations']:,} conversations, {about['turns']:,} turns ({commit}{dirty})"
    )


def caption(folder: RunFolder) -> str:
    """Return how the intervals came about."""
    parts = (folder.metrics["systems"][name][REPORTED] for name in folder.systems)
    drawn = {(one["unit"], one["units"]) for part in parts for one in part["metrics"].values()}
    how = ", ".join(f"{units} {unit}" for unit, units in sorted(drawn))
    return f"95 % intervals, resampled over {how}; prompts counted by {folder.about['counter']}"


def _systems(folder: RunFolder) -> Table:
    shown = Table(
        title=harmless(title(folder)), caption=harmless(caption(folder)), collapse_padding=True
    )
    shown.add_column("system", overflow="fold")
    for name in ("recall@10", "ndcg@10", "evidence\n@1000", "p50\nms"):
        shown.add_column(name, justify="right", no_wrap=True)
    for system in folder.systems:
        found = folder.metrics["systems"][system]
        part = found[REPORTED]
        scores = [interval(part["metrics"].get(name)) for name in ("recall@10", "ndcg@10")]
        prompt = part["evidence"].get("1000", {}).get("gold")
        shown.add_row(
            harmless(system), *scores, interval(prompt), f"{found['latency_ms']['p50']:.1f}"
        )
    return shown


def _paired(folder: RunFolder) -> Table:
    """Return the leads on all questions and on each side, those above or below 0 coloured."""
    shown = Table(
        title="The product's lead, question by question; * marks an interval beside 0",
        collapse_padding=True,
    )
    shown.add_column("over", overflow="fold")
    shown.add_column("on", no_wrap=True)
    for name in _LEADS:
        shown.add_column(name.replace("@1", "\n@1"), justify="right", no_wrap=True)
    rows: dict[tuple[str, str], dict[str, Json]] = {}
    for one in folder.metrics["paired"]:
        if one["metric"] in _LEADS:
            rows.setdefault((one["other"], one["side"]), {})[one["metric"]] = one
    for (other, side), leads in rows.items():
        shown.add_row(harmless(other), side, *(_lead(leads[name]) for name in _LEADS))
    return shown


def _lead(one: Json) -> Text:
    beside = one["low"] > 0 or one["high"] < 0
    colour = ("green" if one["mean"] > 0 else "red") if beside else ""
    half = (one["high"] - one["low"]) / 2
    return harmless(f"{one['mean']:+.3f} ±{half:.3f}{'*' if beside else ' '}", colour)
