"""`python -m eval recall`: how many of the turns that answer a question the service recalls.

The whole service runs in this process, on a temporary folder: SQLite, Chroma, the local embedder.
A question takes the path of `/v1/search`, in its own conversation.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import Progress
from rich.table import Table

from eval.console import complain, output_file, progress_bar, quiet_settings
from eval.datasets import options, selection
from eval.datasets.catalogue import DatasetName, DatasetSource
from eval.datasets.models import ADVERSARIAL, Dataset, Question
from eval.errors import EvaluationError
from eval.json_files import Json, write_json
from eval.metrics import ranking
from eval.provenance import provenance
from eval.runs.records import TOP_K
from eval.runs.summary import latency_ms
from eval.runs.trec import Ranking, write_trec
from eval.systems import dataset_store
from eval.systems.ids import dataset_id
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings
from memory_service.service import Service


@dataclass(frozen=True, slots=True)
class RecalledAnswer:
    """The ranking of turns that the service recalled for a question, by the set's own ids."""

    question: Question
    ranking: Ranking
    seconds: float


def recall(
    dataset: Annotated[DatasetName, typer.Option(help="The data set, or its format.")],
    docs: options.Docs = None,
    queries: options.Queries = None,
    data: options.Data = None,
    scope: Annotated[
        Literal["conversation"], typer.Option(help="What a question is asked about.")
    ] = "conversation",
    skip_category: options.SkipCategory = None,
    json_out: Annotated[Path | None, output_file("File for the result, as JSON.")] = None,
    run: Annotated[Path | None, output_file("File for the rankings, as TREC lines.")] = None,
    audit_gold: options.AuditGold = False,  # noqa: FBT002 - a flag
    audit: options.Audit = None,
) -> None:
    """Measure recall@k and nDCG@10 of the turns that answer a set's questions."""
    source = DatasetSource(dataset, docs, queries, data, audit, audit_gold)
    try:
        settings = quiet_settings("warning")
        loaded = source.load()
        asked = selection.with_gold(loaded.questions, skip_category or ())
        with progress_bar() as progress:
            answers = measure(loaded, asked, settings, progress)
    except (EvaluationError, ServiceError, OSError) as error:
        raise complain("recall", error) from error
    taken = provenance(settings, dataset_hash=loaded.fingerprint(), files=source.files()).as_json()
    plan = {"top_k": TOP_K, "scope": scope, "skip_category": skip_category or []}
    result = {
        **summarise(loaded, answers),
        **taken,
        "settings": {**plan, "service": taken["settings"]},
    }
    if run is not None:
        rankings = [(answer.question.id, answer.ranking) for answer in answers]
        write_trec(run, rankings, "memory_service")
    if json_out is not None:
        write_json(json_out, result)
    show(result)


def measure(
    dataset: Dataset, questions: Sequence[Question], settings: Settings, progress: Progress
) -> list[RecalledAnswer]:
    """Store the set in a service of its own and ask the questions, one after the other."""
    with dataset_store.stored(dataset, settings, progress) as service:
        asked = progress.track(questions, description="ask")
        return [ask(service, question) for question in asked]


def ask(service: Service, question: Question) -> RecalledAnswer:
    """Ask one question; raises MeasurementError if the recall was degraded."""
    began = time.perf_counter()
    result = dataset_store.recall(service, question, TOP_K)
    seconds = time.perf_counter() - began
    hits = [(dataset_id(hit.turn.id), hit.score) for hit in result.hits]
    return RecalledAnswer(question, hits, seconds)


def summarise(dataset: Dataset, answers: Sequence[RecalledAnswer]) -> Json:
    """Return the metrics of all answers, of each category, and the latency of a recall."""
    by_category: defaultdict[str, list[RecalledAnswer]] = defaultdict(list)
    for answer in answers:
        by_category[answer.question.category].append(answer)
    result: Json = {"dataset": dataset.name, **_metrics(answers)}
    others = [answer for answer in answers if answer.question.category != ADVERSARIAL]
    if 0 < len(others) < len(answers):
        result["without_adversarial"] = _metrics(others)
    return result | {
        "by_category": {name: _metrics(by_category[name]) for name in sorted(by_category)},
        "latency_ms": latency_ms([answer.seconds for answer in answers]),
        "conversations": len(dataset.conversations),
        "turns": dataset.turn_count,
        "notes": list(dataset.notes),
    }


def _metrics(answers: Sequence[RecalledAnswer]) -> Json:
    scores = [
        ranking.score([turn_id for turn_id, _ in answer.ranking], answer.question.gold)
        for answer in answers
    ]
    return {"questions": len(answers), "metrics": ranking.mean(scores)}


def show(result: Json) -> None:
    """Print the table, and on standard error the notes on the labels."""
    for note in result["notes"]:
        stderr().print(harmless(f"label {note}", style="yellow"))
    latency = " / ".join(f"{result['latency_ms'][name]:.1f}" for name in ("p50", "p95", "p99"))
    table = Table(
        title=f"Recall: {result['dataset']}, {result['conversations']:,} conversations, "
        f"{result['turns']:,} turns",
        caption=f"one recall: p50 / p95 / p99 {latency} ms, in process",
        collapse_padding=True,
    )
    table.add_column("questions of", overflow="fold")
    for name in ("number", *result["metrics"]):
        table.add_column(name, justify="right", min_width=len(name))
    _add_row(table, "all", result)
    if "without_adversarial" in result:
        _add_row(table, "all but adversarial", result["without_adversarial"])
    table.add_section()
    for name, part in result["by_category"].items():
        _add_row(table, name, part)
    stdout().print(table)


def _add_row(table: Table, name: str, part: Mapping[str, Json]) -> None:
    values = [f"{value:.4f}" for value in part["metrics"].values()]
    table.add_row(harmless(name), f"{part['questions']:,}", *values)
