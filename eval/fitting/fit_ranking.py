"""`python -m eval fit-ranking`: fits the ranking's weights to sets, and compares the shipped ones.

A set is stored in the real service and its questions are asked. The weights are fitted to the
candidates that the ranking gets for each question. The table in `memory_service/recall/ranking.py`
was made in this way: run, round, paste, run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from eval.console import complain, input_file, output_file, progress_bar, quiet_settings
from eval.datasets import jsonl, options, own
from eval.datasets.models import ADVERSARIAL, Dataset
from eval.errors import DatasetError, EvaluationError
from eval.fitting.ranking_examples import FitPlan, WeightsProfile, collect_examples
from eval.fitting.ranking_weights import fit_and_compare
from eval.json_files import Json, write_json
from eval.provenance import provenance
from memory_service.commands.terminal import harmless, stdout
from memory_service.core.errors import ServiceError


def fit_ranking(
    profile: Annotated[WeightsProfile, typer.Option(help="The weights to fit.")],
    docs: Annotated[
        list[Path] | None, input_file("File of turns; repeatable, for further sets.")
    ] = None,
    queries: Annotated[
        list[Path] | None, input_file("File of their questions, in the same order.")
    ] = None,
    bundled: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--own", help="Use the bundled set too; it is alone without --docs.")
    ] = False,
    skip_category: options.SkipCategory = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling behind the intervals.")] = 0,
    json_out: Annotated[Path | None, output_file("File for the result, as JSON.")] = None,
) -> None:
    """Fit the weights of the ranking and compare them with the shipped ones."""
    if len(docs or ()) != len(queries or ()):
        raise typer.BadParameter("each --docs needs a --queries")
    try:
        settings = quiet_settings("warning")
        loaded = [jsonl.load(*files) for files in zip(docs or (), queries or (), strict=True)]
        if bundled or not loaded:
            loaded.append(own.load())
        plan = FitPlan(
            profile,
            skipped=frozenset({ADVERSARIAL, *(skip_category or ())}),
            seed=seed,
            counts=dict(Counter(dataset.name for dataset in loaded)),
        )
        sets = _by_name(loaded)
        with progress_bar() as progress:
            examples = {
                name: collect_examples(dataset, plan, settings, progress)
                for name, dataset in sets.items()
            }
        result = fit_and_compare(examples, plan)
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("fit-ranking", error) from error
    if json_out is not None:
        hashes = {name: dataset.fingerprint() for name, dataset in sets.items()}
        about = provenance(settings, seed=seed).as_json()
        write_json(json_out, {**result, "sha256": hashes, **about})
    show(result)


def _by_name(loaded: Sequence[Dataset]) -> dict[str, Dataset]:
    """Return each set once; raises DatasetError if two have one name."""
    sets: dict[str, Dataset] = {}
    for dataset in loaded:
        if sets.setdefault(dataset.name, dataset).fingerprint() != dataset.fingerprint():
            raise DatasetError(f"two sets are called {dataset.name}: rename the files of one")
    return sets


def show(result: Json) -> None:
    """Print the weights, their recall, and the loss without each feature."""
    sets = [name for name, part in result["recall@10"].items() if part["held_back"]["questions"]]
    tables = [_weights_table(result), _recall_table(result)]
    stdout().print(*tables, *([_without_table(result, sets)] if sets else []))


def _weights_table(result: Json) -> Table:
    shipped = WeightsProfile(result["profile"]).shipped
    table = Table("feature", title=f"Weights: {result['profile']}")
    _add_number_columns(table, "fitted", "shipped")
    for name, weight in result["weights"].items():
        table.add_row(name, f"{weight:.2f}", f"{getattr(shipped, name):.2f}")
    return table


def _recall_table(result: Json) -> Table:
    table = Table("set", "side", title="recall@10", caption="fitted to the tuned-on side only")
    _add_number_columns(table, "questions", "fitted", "shipped")
    for name, sides in result["recall@10"].items():
        for side, part in sides.items():
            numbers = [_with_interval(part[key]) for key in ("fitted", "shipped") if key in part]
            table.add_row(harmless(name), side, f"{part['questions']:,}", *numbers)
    return table


def _without_table(result: Json, sets: Sequence[str]) -> Table:
    table = Table("feature", title="Change of recall@10, held back, if fitted without")
    _add_number_columns(table, *map(harmless, sets))
    for name, changes in result["without"].items():
        table.add_row(name, *(_with_interval(changes[of_set], "+") for of_set in sets))
    return table


def _add_number_columns(table: Table, *names: str | Text) -> None:
    for name in names:
        table.add_column(name, justify="right")


def _with_interval(metric: Json, sign: str = "") -> str:
    mean, low, high = (format(metric[name], f"{sign}.3f") for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
