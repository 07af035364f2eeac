"""`python -m eval growth`: recall and time while the number of other turns grows.

The questions of a few real conversations are asked at each size, among more and more turns of other
conversations (`eval.datasets.distractors`): all in one conversation, or in more and more
conversations of one user. The service runs in this process, as in
`python -m eval recall`. At each size vectors are compared in both ways: in memory, and by Chroma.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from eval.benchmarks.growth import asking
from eval.benchmarks.growth.measurements import PROMPT_TOKENS, GrowthMeasurement
from eval.benchmarks.growth.plan import (
    GrowthLayout,
    GrowthPlan,
    GrowthWorkload,
    choose_workload,
)
from eval.benchmarks.growth.stores import GrownStores
from eval.console import complain, input_file, output_file, progress_bar
from eval.datasets import distractors, jsonl, options
from eval.datasets.catalogue import DatasetSource
from eval.errors import EvaluationError
from eval.json_files import Json, write_json
from eval.provenance import provenance
from memory_service.commands.terminal import stdout
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings, load_settings


def growth(
    dataset: options.Name = "own",
    docs: options.Docs = None,
    queries: options.Queries = None,
    data: options.Data = None,
    among: Annotated[
        list[Path] | None,
        input_file("JSON lines of further turns to draw distractors from; repeatable."),
    ] = None,
    layout: Annotated[
        GrowthLayout, typer.Option(help="Where turns are added: one conversation, or many.")
    ] = GrowthLayout.ONE,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", min=1, help="Turns (one) or conversations (many); repeatable."),
    ] = None,
    exact_scan_max: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            help="MEMORY_EXACT_SCAN_MAX of a measurement; repeatable. By default that of the "
            "settings, and 0.",
        ),
    ] = None,
    targets: Annotated[int, typer.Option(min=1, help="Conversations to ask about.")] = 1,
    questions: Annotated[int, typer.Option(min=1, help="Questions to ask at each size.")] = 100,
    skip_category: options.SkipCategory = None,
    seed: Annotated[int, typer.Option(help="Seed of the questions and distractors.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for the stores; complete ones are used again."),
    ] = None,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Ask the same questions among more and more turns of other conversations.

    The questions are drawn by the seed from those with gold; the JSON names them. With --keep an
    interrupted run continues, and a later run only measures; a million turns take 5 GB.
    """
    try:
        settings = load_settings()
        plan = GrowthPlan(
            layout=layout,
            sizes=sorted(set(sizes or _default_sizes(layout))),
            exact_scan_max=exact_scan_max or [settings.exact_scan_max, 0],
            targets=targets,
            questions=questions,
            skip_category=skip_category or [],
            seed=seed,
        )
        loaded = DatasetSource(dataset, docs=docs, queries=queries, data=data).load()
        others = [turns for path in among or () for turns in jsonl.load_turns(path).values()]
        workload = choose_workload(loaded, others, plan)
        dataset_hash = loaded.fingerprint()
        result: Json = {
            "provenance": provenance(settings, seed=seed, dataset_hash=dataset_hash).as_json(),
            "plan": asdict(plan),
            "dataset": {"name": loaded.name, "sha256": dataset_hash},
            "asked": [question.id for question in workload.questions],
        }
        measurements: list[GrowthMeasurement] = []
        with progress_bar() as progress, _folder(keep) as folder:
            for measurement in measure(workload, plan, folder, settings, progress):
                measurements.append(measurement)
                if json_out is not None:
                    # After each size: the largest sizes take an hour, and may fail.
                    numbers = [done.as_json() for done in measurements]
                    write_json(json_out, {**result, "sizes": numbers})
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("growth", error) from error
    stdout().print(table(measurements))


def _default_sizes(layout: GrowthLayout) -> list[int]:
    return [1_000, 10_000] if layout is GrowthLayout.ONE else [200, 2_000]


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield the folder that is kept, or one that is deleted at the end."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        yield Path(folder)


def measure(
    workload: GrowthWorkload, plan: GrowthPlan, folder: Path, settings: Settings, progress: Progress
) -> Iterator[GrowthMeasurement]:
    """Yield the numbers of each size in each mode; equivalent modes only once."""
    # Without a model: summaries would cost money, and are not measured.
    quiet = settings.model_copy(update={"upstream_base_url": None})
    stores = _stores(workload, plan, folder)
    for size in plan.sizes:
        data_dir = stores.grow(size, quiet, progress)
        for most in sorted(plan.exact_scan_max, reverse=True):
            mode = quiet.model_copy(update={"exact_scan_max": most})
            measurement = asking.measure(data_dir, size, workload, mode, progress)
            yield measurement
            if measurement.by_chroma:
                break  # With a lower maximum Chroma is asked as well.


def _stores(workload: GrowthWorkload, plan: GrowthPlan, folder: Path) -> GrownStores:
    """Return the stores of a workload; raises DatasetError if there is nothing to distract with."""
    targets = [turn for turns in workload.targets.values() for turn in turns]
    return GrownStores(
        folder,
        plan.layout,
        workload.targets,
        distractors.Distractors(targets, workload.others, plan.seed),
        {
            "targets": list(workload.targets),
            "seed": plan.seed,
            "distractors": distractors.VERSION,
            "turns_sha256": workload.fingerprint(),
        },
    )


def table(measurements: Sequence[GrowthMeasurement]) -> Table:
    """Return the numbers, a row for each size and mode."""
    head = (
        "size",
        "vectors",
        "recall@10",
        "in prompt",
        "search, ms",
        "context, ms",
        "MB",
        "disk MB",
    )
    shown = Table(
        *head,
        title="Growth",
        caption=f"in prompt: share of the gold turns in one of {PROMPT_TOKENS:,} tokens; "
        "times: p50 / p99; MB: of this process and Chroma's",
    )
    for measurement in measurements:
        memory = measurement.memory
        shown.add_row(
            f"{measurement.size:,}",
            "Chroma" if measurement.by_chroma else "memory",
            f"{measurement.recall:.3f}",
            f"{measurement.evidence:.3f}",
            _times(measurement.search_ms),
            _times(measurement.context_ms),
            "-" if memory is None else f"{memory.rss_bytes / 1e6:,.0f}",
            f"{measurement.disk_bytes.total / 1e6:,.0f}",
        )
    return shown


def _times(percentiles: dict[str, float]) -> str:
    return " / ".join(f"{percentiles[name]:.1f}" for name in ("p50", "p99"))
