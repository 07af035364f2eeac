"""`python -m eval run`: compares systems on one set, and writes every answer down.

All systems see the same turns and questions, and fill the same prompts. The product is the real
service in this process, on a temporary folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from eval.console import complain, progress_bar, quiet_settings
from eval.datasets import options, selection
from eval.datasets.catalogue import DatasetSource
from eval.datasets.models import Dataset, Question
from eval.datasets.splits import SIDES, side
from eval.errors import EvaluationError
from eval.json_files import Json, write_json, write_lines
from eval.metrics.evidence import BUDGETS
from eval.provenance import provenance
from eval.reports.report import show
from eval.runs import records, run_folder, summary
from eval.runs.run_folder import RunFolder
from eval.systems.choice import check, choose
from eval.systems.dataset_store import stored
from eval.systems.system import TIES
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings


def run(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the run: a new one.")],
    dataset: options.Name = "own",
    systems: Annotated[
        str, typer.Option(help="Names with commas; all, baselines and ablations are groups.")
    ] = "all",
    docs: options.Docs = None,
    queries: options.Queries = None,
    data: options.Data = None,
    audit: options.Audit = None,
    audit_gold: options.AuditGold = False,  # noqa: FBT002 - a flag
    paraphrases: Annotated[bool, typer.Option(help="Ask the set's paraphrases too.")] = False,  # noqa: FBT002 - a flag
    skip_category: options.SkipCategory = None,
    only_category: Annotated[
        list[str] | None, typer.Option(help="Ask only the questions of a category; repeatable.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="Ask only this many, spread over the set.")
    ] = None,
    exact_scan_max: Annotated[
        int | None, typer.Option(min=0, help="As MEMORY_EXACT_SCAN_MAX; 0 always asks Chroma.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling behind the intervals.")] = 0,
) -> None:
    """Compare systems on one set: recall, evidence in the prompt, latency, with intervals."""
    source = DatasetSource(dataset, docs, queries, data, audit, audit_gold, paraphrases)
    names = [name.strip() for name in systems.split(",")]
    check(names)
    try:
        settings = quiet_settings("error", exact_scan_max=exact_scan_max)
        loaded = source.load()
        kept = selection.of_categories(
            loaded.questions, skipped=skip_category or (), only=only_category or ()
        )
        asked = selection.spread(kept, questions)
        run_folder.create(out)
        with progress_bar() as progress:
            measured = measure(loaded, asked, names, settings, out, progress)
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("run", error) from error
    about: Json = {
        "format": run_folder.FORMAT,
        **_about_set(loaded, asked),
        "labels": {"audit_gold": audit_gold or audit is not None, "paraphrases": paraphrases},
        "skip_category": skip_category or [],
        "only_category": only_category or [],
        **measured,
        "top_k": records.TOP_K,
        "budgets": list(BUDGETS),
        "ties": TIES,
        **provenance(
            settings, seed=seed, dataset_hash=loaded.fingerprint(), files=source.files()
        ).as_json(),
    }
    write_json(out / "run.json", about)
    folder = RunFolder(out)
    answers = {system: folder.answers(system) for system in folder.systems}
    write_json(out / "metrics.json", summary.summarise(folder.questions, answers, seed=seed))
    show([folder])


def measure(
    dataset: Dataset,
    questions: Sequence[Question],
    names: Sequence[str],
    settings: Settings,
    out: Path,
    progress: Progress,
) -> Json:
    """Store the set, ask each system all questions, and write what it finds.

    Returns the names of the systems, the embedder and the token counter.
    """
    lines = (records.question_line(dataset, question) for question in questions)
    write_lines(out / "questions.jsonl", lines)
    with stored(dataset, settings, progress) as service:
        counter = service.counter(None)
        systems = choose(names, dataset, service)
        for system in systems:
            answers = [
                records.ask(dataset, system, question, counter)
                for question in progress.track(questions, description=system.name)
            ]
            rankings = {answer.line["id"]: answer.ranking for answer in answers}
            run_folder.write_system(out, system.name, [a.line for a in answers], rankings)
        return {
            "systems": [system.name for system in systems],
            "embedder": service.embedder.name,
            "counter": counter.name,
        }


def _about_set(dataset: Dataset, questions: Sequence[Question]) -> Json:
    """Return what was asked of which set, and the side of each group of questions."""
    groups = sorted({dataset.group(question) for question in questions})
    return {
        "dataset": dataset.name,
        "conversations": len(dataset.conversations),
        "turns": dataset.turn_count,
        "notes": list(dataset.notes),
        "questions": len(questions),
        "split": {name: [group for group in groups if side(group) == name] for name in SIDES},
    }
