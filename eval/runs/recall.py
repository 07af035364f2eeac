"""`python -m eval recall`: how many of the turns that answer a question come back, and how high.

The whole service runs in this process, on a temporary folder: SQLite, Chroma, the local embedder.
A question takes the path of `/v1/search`, inside its own conversation. The service is told what a
real one would be: who said what and when; no set's numbering of sessions.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import Progress
from rich.table import Table

from eval.console import complain, input_file, output_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question
from eval.datasets.catalogue import DatasetName, Source
from eval.metrics import ranking
from eval.runs import provenance
from eval.systems import stored
from eval.systems.stored import MeasurementError
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core import logs
from memory_service.core.errors import ServiceError
from memory_service.core.settings import Settings, load_settings
from memory_service.service import Service

TOP_K = 50
ADVERSARIAL = "adversarial"
"""LoCoMo's name for questions that no turn answers; their gold is a distractor, so the metrics
without them are reported beside those with them.
"""

_PACKAGES = ("memory_service", "chromadb", "numpy", "sqlalchemy", "tokenizers", "wordllama")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a question: the set's own ids with their scores, best first."""

    question: Question
    ranking: provenance.Ranking
    seconds: float


def recall(
    dataset: Annotated[DatasetName, typer.Option(help="The set, or its format.")],
    docs: Annotated[Path | None, input_file("Turns, for jsonl.")] = None,
    queries: Annotated[Path | None, input_file("Questions, for jsonl.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="The published file; a folder where a set has two."),
    ] = None,
    scope: Annotated[
        Literal["conversation"], typer.Option(help="Where a question looks.")
    ] = "conversation",
    skip_category: Annotated[
        list[str] | None, typer.Option(help="Leave its questions out; may be repeated.")
    ] = None,
    json_out: Annotated[Path | None, output_file("File for the result, as JSON.")] = None,
    run: Annotated[Path | None, output_file("File for what was found, as TREC lines.")] = None,
    audit_gold: Annotated[bool, typer.Option(help="Take corrected labels.")] = False,  # noqa: FBT002 - a flag
    audit: Annotated[Path | None, input_file("Corrections of LoCoMo's labels.")] = None,
) -> None:
    """Measure recall@k and nDCG@10 of the turns that answer a set's questions."""
    source = Source(dataset, docs, queries, data, audit, audit_gold)
    try:
        settings = load_settings(log_level="warning")
        logs.configure(settings.log_format, settings.log_level)
        loaded = source.load()
        asked = choose(loaded.questions, skip_category or ())
        with progress_bar() as progress:
            answers = measure(loaded, asked, settings, progress)
    except (DatasetError, MeasurementError, ServiceError, OSError) as error:
        raise complain("recall", error) from error
    plan = {"top_k": TOP_K, "scope": scope, "skip_category": skip_category or []}
    service = settings.model_dump(mode="json", exclude=stored.PRIVATE)
    result = {
        **summarise(loaded, answers),
        "settings": {**plan, "service": service},
        "files": {path.name: provenance.file_hash(path) for path in source.files()},
        **provenance.provenance(_PACKAGES),
    }
    if run is not None:
        rankings = [(answer.question.id, answer.ranking) for answer in answers]
        provenance.write_trec(run, rankings, "memory_service")
    if json_out is not None:
        provenance.write_json(json_out, result)
    show(result)


def measure(
    dataset: Dataset, questions: Sequence[Question], settings: Settings, progress: Progress
) -> list[Answer]:
    """Store the set in a service of its own and ask it the questions, one after the other."""
    with stored.stored(dataset, settings, progress) as service:
        asked = progress.track(questions, description="ask")
        return [ask(service, question) for question in asked]


def summarise(dataset: Dataset, answers: Sequence[Answer]) -> Json:
    """Return the metrics of all answers, of each category, and the latency of a recall."""
    seconds = [answer.seconds for answer in answers]
    by_category: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_category[answer.question.category].append(answer)
    result: Json = {"dataset": dataset.name, **_metrics(answers)}
    others = [answer for answer in answers if answer.question.category != ADVERSARIAL]
    if 0 < len(others) < len(answers):
        result["without_adversarial"] = _metrics(others)
    return result | {
        "by_category": {name: _metrics(by_category[name]) for name in sorted(by_category)},
        "latency_ms": {
            f"p{percent}": round(1000 * ranking.percentile(seconds, percent / 100), 3)
            for percent in (50, 95, 99)
        },
        "conversations": len(dataset.conversations),
        "turns": dataset.turns,
        "notes": list(dataset.notes),
    }


def _metrics(answers: Sequence[Answer]) -> Json:
    scores = [
        ranking.score([found for found, _ in answer.ranking], answer.question.gold)
        for answer in answers
    ]
    return {"questions": len(answers), "metrics": ranking.mean(scores)}


def choose(questions: Sequence[Question], skipped: Sequence[str]) -> list[Question]:
    """Return the questions with gold, of the categories that are not skipped."""
    known = {question.category for question in questions}
    for name in skipped:
        if name not in known:
            raise typer.BadParameter(
                f"--skip-category: no question is {name!r}; there are {', '.join(sorted(known))}"
            )
    chosen = [one for one in questions if one.gold and one.category not in skipped]
    if not chosen:
        raise DatasetError("no question is left to ask: none has gold, or all are skipped")
    return chosen


def ask(service: Service, question: Question) -> Answer:
    """Ask one question; raises MeasurementError if the recall had to do without a channel."""
    project = service.local_project()
    began = time.perf_counter()
    found = stored.recall(service.recaller, project, question, TOP_K)
    seconds = time.perf_counter() - began
    ranking = [(stored.own_id(hit.turn.id), hit.score) for hit in found.hits]
    return Answer(question, ranking, seconds)


def show(result: Json) -> None:
    """Print the table, and on stderr what is wrong with the labels."""
    for note in result["notes"]:
        stderr().print(harmless(f"label {note}", style="yellow"))
    latency = " / ".join(f"{result['latency_ms'][name]:.1f}" for name in ("p50", "p95", "p99"))
    shown = Table(
        title=f"Recall: {result['dataset']}, {result['conversations']:,} conversations, "
        f"{result['turns']:,} turns",
        caption=f"one recall: p50 / p95 / p99 {latency} ms, in process",
        collapse_padding=True,
    )
    shown.add_column("questions of", overflow="fold")
    for name in ("number", *result["metrics"]):
        shown.add_column(name, justify="right", min_width=len(name))
    _add_row(shown, "all", result)
    if "without_adversarial" in result:
        _add_row(shown, "all but adversarial", result["without_adversarial"])
    shown.add_section()
    for name, part in result["by_category"].items():
        _add_row(shown, name, part)
    stdout().print(shown)


def _add_row(table: Table, name: str, part: Json) -> None:
    values = [f"{value:.4f}" for value in part["metrics"].values()]
    table.add_row(harmless(name), f"{part['questions']:,}", *values)
