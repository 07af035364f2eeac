"""`python -m eval compare` and `baseline`: whether a change made recall better or worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.table import Table

from eval.console import complain, output_file
from eval.errors import EvaluationError, RunError
from eval.metrics import statistics
from eval.reports import scores
from eval.reports.scores import Scores
from eval.runs.run_folder import RunFolder
from eval.runs.summary import SILENT
from eval.systems.system import PRODUCT
from memory_service.commands.terminal import harmless, stderr, stdout

COMPARED = ("recall@10", "evidence@1000", SILENT)
INCOMPARABLE = 2
"""Exit status if the runs cannot be compared; 1 is a loss."""


class Change(NamedTuple):
    """By how much a question's score changed."""

    amount: float
    question_id: str


def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a run, or a baseline.")],
    after: Annotated[Path, typer.Argument(help="Folder of a run, or a baseline.")],
    system: Annotated[str, typer.Option(help="System to compare, of runs.")] = PRODUCT,
    show: Annotated[int, typer.Option(min=0, help="Changed questions to show each way.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
) -> None:
    """Compare two runs question by question; the status is 1 if AFTER is significantly worse.

    A loss is significant if the 95 % interval of the paired difference lies below 0.
    """
    try:
        first, second = scores.read(before, system), scores.read(after, system)
        names = comparable(first, second)
    except EvaluationError as error:
        complain("compare", error)
        raise typer.Exit(INCOMPARABLE) from error
    differences = {
        name: difference
        for name in names
        if (difference := _difference(first, second, name, seed)) is not None
    }
    stdout().print(_table(first, second, differences))
    _show_changes(first, second, _texts(after) or _texts(before), show)
    lost = [name for name, difference in differences.items() if difference.is_loss]
    if lost:
        stderr().print(harmless(f"compare: significantly worse: {', '.join(lost)}", style="red"))
        raise typer.Exit(1)


def baseline(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, output_file("File of the baseline.")],
    system: Annotated[str, typer.Option(help="System whose scores to keep.")] = PRODUCT,
) -> None:
    """Keep a run's scores as a baseline, for `compare`."""
    try:
        scores.write_baseline(out, scores.of_run(RunFolder(run), system))
    except (EvaluationError, OSError) as error:
        raise complain("baseline", error) from error


def comparable(first: Scores, second: Scores) -> list[str]:
    """Return the metrics that mean the same in both; raises RunError where none does."""
    if first.about["dataset_hash"] != second.about["dataset_hash"]:
        raise RunError(
            f"the sets differ ({first.about['dataset']} {first.about['dataset_hash'][:12]}, "
            f"{second.about['dataset']} {second.about['dataset_hash'][:12]}): run both on one, or "
            "renew the baseline with `python -m eval baseline RUN --out FILE`"
        )
    if first.about["counter"] == second.about["counter"]:
        return list(COMPARED)
    stderr().print(
        f"Prompts were counted by {first.about['counter']} and {second.about['counter']}, so the "
        "evidence in them is not compared.",
        style="yellow",
    )
    return [name for name in COMPARED if not name.startswith("evidence")]


def _difference(
    first: Scores, second: Scores, name: str, seed: int
) -> statistics.Difference | None:
    """Return the lead of the second on the questions of both; None where there are none."""
    ids = _shared(first, second, name)
    if not ids:
        return None
    before, after = ([run.values[id_][name] for id_ in ids] for run in (first, second))
    return statistics.difference(after, before, [first.groups[id_] for id_ in ids], seed=seed)


def _shared(first: Scores, second: Scores, name: str) -> list[str]:
    """Return the ids of the questions that have a metric in both."""
    return [
        question_id
        for question_id, values in first.values.items()
        if name in values and name in second.values.get(question_id, ())
    ]


def _table(
    first: Scores, second: Scores, differences: Mapping[str, statistics.Difference]
) -> Table:
    table = Table(title=harmless(f"{first.about['dataset']}: {first.about['system']}"))
    for name in ("metric", "questions", "before", "after", "difference", "95 % interval"):
        left = name == "metric"
        table.add_column(name, justify="left" if left else "right", no_wrap=left)
    for name, difference in differences.items():
        ids = _shared(first, second, name)
        means = [sum(run.values[id_][name] for id_ in ids) / len(ids) for run in (first, second)]
        style = "red" if difference.is_loss else "green" if difference.is_gain else ""
        cells = [f"{mean:.4f}" for mean in means]
        interval = f"[{difference.low:+.4f}, {difference.high:+.4f}]"
        mean = f"{difference.mean:+.4f}"
        table.add_row(name, str(len(ids)), *cells, mean, interval, style=style)
    return table


def _show_changes(first: Scores, second: Scores, texts: Mapping[str, str], number: int) -> None:
    """Print the questions whose recall@10 (or rightful silence) changed most, each way."""
    changes = sorted(
        Change(second.values[question_id][name] - first.values[question_id][name], question_id)
        for name in ("recall@10", SILENT)
        for question_id in _shared(first, second, name)
    )
    worse = [change for change in changes if change.amount < 0]
    better = [change for change in reversed(changes) if change.amount > 0]
    for word, style, group in (("worse", "red", worse), ("better", "green", better)):
        stdout().print(harmless(f"{len(group)} questions are {word}", style))
        _show_questions(group[:number], texts)


def _show_questions(changes: Sequence[Change], texts: Mapping[str, str]) -> None:
    for amount, question_id in changes:
        text = texts.get(question_id, "")
        stdout().print(harmless(f"  {amount:+.2f}  {question_id}  {text}"))


def _texts(path: Path) -> dict[str, str]:
    """Return the texts of a run's questions; a baseline has none."""
    if not path.is_dir():
        return {}
    return {id_: line["question"] for id_, line in RunFolder(path).questions.items()}
