"""`python -m eval run`: systems side by side on one set, every answer written down.

All systems see the same turns and questions, and fill the same prompts. The product is the real
service in this process, on a temporary folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from eval.console import complain, input_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question
from eval.datasets.catalogue import DatasetName, Source
from eval.datasets.splits import SIDES, side
from eval.metrics.evidence import BUDGETS
from eval.reports import summary
from eval.reports.report import show
from eval.runs import asking, provenance, run_folder
from eval.runs.run_folder import RunError, RunFolder
from eval.systems import TIES, stored
from eval.systems.choice import check, choose
from eval.systems.stored import MeasurementError
from memory_service.core import logs
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings, load_settings

PACKAGES = (
    "memory_service",
    *("chromadb", "numpy", "sqlalchemy", "tokenizers", "tiktoken", "wordllama", "bm25s"),
)

Json = dict[str, Any]


def run(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the run: a new one.")],
    dataset: Annotated[DatasetName, typer.Option(help="The set; own is bundled.")] = "own",
    systems: Annotated[
        str, typer.Option(help="Names with commas; all, baselines and ablations are several.")
    ] = "all",
    docs: Annotated[Path | None, input_file("Turns, for jsonl.")] = None,
    queries: Annotated[Path | None, input_file("Questions, for jsonl.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="The published file; a folder where a set has two."),
    ] = None,
    audit: Annotated[Path | None, input_file("Corrections of LoCoMo's labels.")] = None,
    audit_gold: Annotated[bool, typer.Option(help="Take corrected labels.")] = False,  # noqa: FBT002 - a flag
    paraphrases: Annotated[bool, typer.Option(help="Ask in the set's other words too.")] = False,  # noqa: FBT002 - a flag
    skip_category: Annotated[
        list[str] | None, typer.Option(help="Leave its questions out; may be repeated.")
    ] = None,
    only_category: Annotated[
        list[str] | None, typer.Option(help="Ask its questions alone; may be repeated.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many, spread over the set.")
    ] = None,
    exact_scan_max: Annotated[
        int | None, typer.Option(min=0, help="As MEMORY_EXACT_SCAN_MAX; 0 asks Chroma always.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the resampling behind the intervals.")] = 0,
) -> None:
    """Measure systems side by side: recall, evidence in the prompt, latency, with intervals."""
    source = Source(dataset, docs, queries, data, audit, audit_gold, paraphrases)
    names = [name.strip() for name in systems.split(",")]
    check(names)
    try:
        settings = load_settings(log_level="error", exact_scan_max=exact_scan_max)
        logs.configure(settings.log_format, settings.log_level)
        loaded = source.load()
        asked = spread(_kept(loaded, skip_category or (), only_category or ()), questions)
        run_folder.create(out)
        with progress_bar() as progress:
            found = measure(loaded, asked, names, settings, out, progress)
    except (DatasetError, RunError, MeasurementError, ServiceError, OSError) as error:
        raise complain("run", error) from error
    about: Json = {
        "format": run_folder.FORMAT,
        "dataset": loaded.name,
        "dataset_hash": loaded.fingerprint(),
        "files": {path.name: provenance.file_hash(path) for path in source.files()},
        "conversations": len(loaded.conversations),
        "turns": loaded.turns,
        "notes": list(loaded.notes),
        "labels": {"audit_gold": audit_gold or audit is not None, "paraphrases": paraphrases},
        "questions": len(asked),
        "skip_category": skip_category or [],
        "only_category": only_category or [],
        **found,
        "top_k": asking.TOP_K,
        "budgets": list(BUDGETS),
        "ties": TIES,
        "split": split(loaded, asked),
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude=stored.PRIVATE),
        **provenance.provenance(PACKAGES),
    }
    provenance.write_json(out / "run.json", about)
    folder = RunFolder(out)
    answers = {system: folder.answers(system) for system in folder.systems}
    provenance.write_json(
        out / "metrics.json", summary.summarise(folder.questions, answers, seed=seed)
    )
    show([folder])


def measure(
    dataset: Dataset,
    questions: Sequence[Question],
    names: Sequence[str],
    settings: Settings,
    out: Path,
    progress: Progress,
) -> Json:
    """Store the set, ask each system all questions, and write what it found; return how."""
    run_folder.write_lines(
        out / "questions.jsonl", (asking.asked(dataset, question) for question in questions)
    )
    with stored.stored(dataset, settings, progress) as service:
        counter = service.counter(None)
        systems = choose(names, dataset, service)
        for system in systems:
            pairs = [
                asking.answer(dataset, system, question, counter)
                for question in progress.track(questions, description=system.name)
            ]
            rankings = {line["id"]: ranking for line, ranking in pairs}
            run_folder.write_system(out, system.name, [line for line, _ in pairs], rankings)
        return {
            "systems": [system.name for system in systems],
            "embedder": service.embedder.name,
            "counter": counter.name,
        }


def spread(questions: Sequence[Question], number: int | None) -> list[Question]:
    """Return so many questions, at even distances; all if that is no fewer."""
    if number is None or number >= len(questions):
        return list(questions)
    return [questions[place * len(questions) // number] for place in range(number)]


def split(dataset: Dataset, questions: Sequence[Question]) -> Json:
    """Return which conversations (or users) are on which side, of those that are asked about."""
    groups = sorted({dataset.group(question) for question in questions})
    return {one: [group for group in groups if side(group) == one] for one in SIDES}


def _kept(dataset: Dataset, skipped: Sequence[str], only: Sequence[str]) -> list[Question]:
    known = sorted({question.category for question in dataset.questions})
    for option, names in (("--skip-category", skipped), ("--only-category", only)):
        for name in names:
            if name not in known:
                raise typer.BadParameter(
                    f"{option}: no question is {name!r}; there are {', '.join(known)}"
                )
    kept = [
        question
        for question in dataset.questions
        if question.category not in skipped and (not only or question.category in only)
    ]
    if not kept:
        raise DatasetError("no question is left to ask")
    return kept
