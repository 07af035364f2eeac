"""`python -m eval compare` and `baseline`: whether a change made recall better or worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from eval.console import complain, output_file
from eval.metrics import statistics
from eval.reports import scores
from eval.reports.scores import Scores
from eval.reports.summary import SILENT
from eval.runs.run_folder import RunError, RunFolder
from eval.systems import PRODUCT
from memory_service.commands.terminal import harmless, stderr, stdout

COMPARED = ("recall@10", "evidence@1000", SILENT)
INCOMPARABLE = 2
"""Exit status where nothing can be said; 1 is a loss."""


def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a run, or a baseline.")],
    after: Annotated[Path, typer.Argument(help="Folder of a run, or a baseline.")],
    system: Annotated[str, typer.Option(help="Whose answers, of a run.")] = PRODUCT,
    show: Annotated[int, typer.Option(min=0, help="Questions shown each way.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
) -> None:
    """Compare two runs question by question; the status is 1 if AFTER is significantly worse.

    A loss is significant if the 95 % interval of the paired difference lies below 0.
    """
    try:
        first, second = scores.read(before, system), scores.read(after, system)
        names = comparable(first, second)
    except RunError as error:
        complain("compare", error)
        raise typer.Exit(INCOMPARABLE) from error
    found = {name: difference(first, second, name, seed) for name in names}
    stdout().print(_table(first, second, found))
    texts = _texts(after) or _texts(before)
    _show_changes(first, second, texts, show)
    lost = [name for name, one in found.items() if one is not None and one.is_loss]
    if lost:
        stderr().print(harmless(f"compare: significantly worse: {', '.join(lost)}", style="red"))
        raise typer.Exit(1)


def baseline(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, output_file("File of the baseline.")],
    system: Annotated[str, typer.Option(help="Whose answers.")] = PRODUCT,
) -> None:
    """Keep a run's scores as a baseline, for `compare`."""
    try:
        scores.write_baseline(out, scores.of_run(RunFolder(run), system))
    except (RunError, OSError) as error:
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
        f"Prompts were counted by {first.about['counter']} and {second.about['counter']}, so what "
        "is in them is not compared.",
        style="yellow",
    )
    return [name for name in COMPARED if not name.startswith("evidence")]


def difference(first: Scores, second: Scores, name: str, seed: int) -> statistics.Difference | None:
    """Return what the second has ahead on the questions of both; None where there are none."""
    ids = _shared(first, second, name)
    if not ids:
        return None
    before, after = ([one.values[id_][name] for id_ in ids] for one in (first, second))
    return statistics.difference(after, before, [first.groups[one] for one in ids], seed=seed)


def _shared(first: Scores, second: Scores, name: str) -> list[str]:
    return [
        one
        for one, values in first.values.items()
        if name in values and name in second.values.get(one, ())
    ]


def _table(
    first: Scores, second: Scores, found: Mapping[str, statistics.Difference | None]
) -> Table:
    shown = Table(title=harmless(f"{first.about['dataset']}: {first.about['system']}"))
    for name in ("metric", "questions", "before", "after", "difference", "95 % interval"):
        left = name == "metric"
        shown.add_column(name, justify="left" if left else "right", no_wrap=left)
    for name, one in found.items():
        if one is None:
            continue
        ids = _shared(first, second, name)
        means = [sum(side.values[id_][name] for id_ in ids) / len(ids) for side in (first, second)]
        style = "red" if one.is_loss else "green" if one.is_gain else ""
        cells = [f"{mean:.4f}" for mean in means]
        interval = f"[{one.low:+.4f}, {one.high:+.4f}]"
        shown.add_row(name, str(len(ids)), *cells, f"{one.mean:+.4f}", interval, style=style)
    return shown


def _show_changes(first: Scores, second: Scores, texts: Mapping[str, str], number: int) -> None:
    """Print the questions whose recall@10 (or rightful silence) changed most, each way."""
    changes: list[tuple[float, str]] = []
    for name in ("recall@10", SILENT):
        for one in _shared(first, second, name):
            changed = second.values[one][name] - first.values[one][name]
            if changed:
                changes.append((changed, one))
    changes.sort()
    worse = [pair for pair in changes if pair[0] < 0]
    better = [pair for pair in reversed(changes) if pair[0] > 0]
    for word, style, pairs in (("worse", "red", worse), ("better", "green", better)):
        stdout().print(harmless(f"{len(pairs)} questions are {word}", style))
        _show_some(pairs[:number], texts)


def _show_some(pairs: Sequence[tuple[float, str]], texts: Mapping[str, str]) -> None:
    for changed, one in pairs:
        stdout().print(harmless(f"  {changed:+.2f}  {one}  {texts.get(one, '')}"))


def _texts(path: Path) -> dict[str, str]:
    if not path.is_dir():
        return {}
    return {one: line["question"] for one, line in RunFolder(path).questions.items()}
