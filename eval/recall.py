"""`python -m eval recall`: how many of the turns that answer a question come back, and how high.

The whole service runs in this process, on a temporary folder: SQLite, Chroma, the local embedder.
A question takes the path of `/v1/search`, inside its own conversation. The service is told what a
real one would be: who said what and when; no set's numbering of sessions.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval import metrics, runs
from eval.datasets import Dataset, DatasetError, Question, Turn, jsonl, locomo
from memory_service import logs
from memory_service.errors import ServiceError
from memory_service.items import check_id, parse_item
from memory_service.recall import Query
from memory_service.records import NewTurn
from memory_service.remember import Attempt, NewConversation
from memory_service.service import Service
from memory_service.settings import Settings, load_settings
from memory_service.strict_json import dumps
from memory_service.terminal import harmless, stderr, stdout

TOP_K = 50
ADVERSARIAL = "adversarial"
"""LoCoMo's name for questions that no turn answers; their gold is a distractor, so the metrics
without them are reported beside those with them.
"""

_BATCH = 1_000
_STALLED_SECONDS = 60.0
_POLL_SECONDS = 0.05
_PACKAGES = ("memory_service", "chromadb", "numpy", "sqlalchemy", "tokenizers", "wordllama")
_LOADERS: Mapping[str, tuple[Callable[..., Dataset], tuple[str, ...]]] = {
    "jsonl": (jsonl.load, ("docs", "queries")),
    "locomo": (locomo.load, ("data",)),
}
# Where things are on this machine, and what may hold a key.
_PRIVATE = {
    "data_dir",
    "tiktoken_cache_dir",
    "embedder_base_url",
    "embedder_api_key",
    "embedder_config",
}
_UNUSUAL = re.compile(rb"[^A-Za-z0-9-]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")
_FIRST_TIME = Attempt(None, b"", is_retry=False)

Json = dict[str, Any]


class MeasurementError(Exception):
    """The service did not do what is measured; the message says what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a question: the set's own ids with their scores, best first."""

    question: Question
    ranking: runs.Ranking
    seconds: float


def _in_a_folder(path: Path | None) -> Path | None:
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def _input(text: str) -> Any:
    return typer.Option(exists=True, dir_okay=False, help=text)


def _output(text: str) -> Any:
    return typer.Option(dir_okay=False, callback=_in_a_folder, help=text)


def recall(
    dataset: Annotated[Literal["jsonl", "locomo"], typer.Option(help="Format of the set.")],
    docs: Annotated[Path | None, _input("Turns, for jsonl.")] = None,
    queries: Annotated[Path | None, _input("Questions, for jsonl.")] = None,
    data: Annotated[Path | None, _input("LoCoMo's published file, for locomo.")] = None,
    scope: Annotated[
        Literal["conversation"], typer.Option(help="Where a question looks.")
    ] = "conversation",
    skip_category: Annotated[
        list[str] | None, typer.Option(help="Leave its questions out; may be repeated.")
    ] = None,
    json_out: Annotated[Path | None, _output("File for the result, as JSON.")] = None,
    run: Annotated[Path | None, _output("File for what was found, as TREC lines.")] = None,
) -> None:
    """Measure recall@k and nDCG@10 of the turns that answer a set's questions."""
    files = {"docs": docs, "queries": queries, "data": data}
    try:
        settings = load_settings(log_level="warning")
        logs.configure(settings.log_format, settings.log_level)
        loaded = _load(dataset, files)
        asked = _choose(loaded.questions, skip_category or ())
        with _progress() as progress:
            answers = measure(loaded, asked, settings, progress)
    except (DatasetError, MeasurementError, ServiceError, OSError) as error:
        stderr().print(harmless(f"recall: {error}", style="red"))
        raise typer.Exit(1) from error
    plan = {"top_k": TOP_K, "scope": scope, "skip_category": skip_category or []}
    service = settings.model_dump(mode="json", exclude=_PRIVATE)
    result = {
        **summarise(loaded, answers),
        "settings": {**plan, "service": service},
        "files": {path.name: runs.file_hash(path) for path in files.values() if path},
        **runs.provenance(_PACKAGES),
    }
    if run is not None:
        rankings = [(answer.question.id, answer.ranking) for answer in answers]
        runs.write_trec(run, rankings, "memory_service")
    if json_out is not None:
        runs.write_json(json_out, result)
    show(result)


def legal_id(own: str) -> str:
    """Return an id that the service takes; `own_id` undoes it.

    Raises InvalidRequest for an id that gets too long by it.
    """
    # The pattern leaves ASCII only. `_` begins an escape, so it is itself escaped.
    escaped = _UNUSUAL.sub(lambda found: b"_%02x" % ord(found[0]), own.encode())
    return check_id(escaped.decode("ascii"), own)


def own_id(legal: str) -> str:
    """Return the set's own id of a `legal_id`."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), legal.encode()).decode()


def measure(
    dataset: Dataset, questions: Sequence[Question], settings: Settings, progress: Progress
) -> list[Answer]:
    """Store the set in a service of its own and ask it the questions, one after the other."""
    with tempfile.TemporaryDirectory(prefix="recall-") as folder:
        there = settings.model_copy(update={"data_dir": Path(folder) / "data"})
        with Service.open(there, purpose="eval recall") as service:
            project = service.local_project()
            store(service, project, dataset, progress)
            wait_for_index(service, progress)
            asked = progress.track(questions, description="ask")
            return [ask(service, project, question) for question in asked]


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
            f"p{percent}": round(1000 * metrics.percentile(seconds, percent / 100), 3)
            for percent in (50, 95, 99)
        },
        "conversations": len(dataset.conversations),
        "turns": dataset.turns,
        "notes": list(dataset.notes),
    }


def _metrics(answers: Sequence[Answer]) -> Json:
    scores = [
        metrics.score([found for found, _ in answer.ranking], answer.question.gold)
        for answer in answers
    ]
    return {"questions": len(answers), "metrics": metrics.mean(scores)}


def _load(dataset: str, files: Mapping[str, Path | None]) -> Dataset:
    load, needed = _LOADERS[dataset]
    for name, path in files.items():
        if (path is not None) != (name in needed):
            what = "needs" if name in needed else "takes no"
            raise typer.BadParameter(f"--dataset {dataset} {what} --{name}")
    return load(*(files[name] for name in needed))


def _choose(questions: Sequence[Question], skipped: Sequence[str]) -> list[Question]:
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


def store(service: Service, project: int, dataset: Dataset, progress: Progress) -> None:
    """Store the conversations, with the times and speakers of their turns."""
    task = progress.add_task("store", total=dataset.turns)
    for name, turns in dataset.conversations.items():
        conversation = legal_id(name)
        service.remember.create_conversation(
            project, NewConversation(conversation, None, None, {}), [], _FIRST_TIME
        )
        for start in range(0, len(turns), _BATCH):
            new = [_as_new(turn, service) for turn in turns[start : start + _BATCH]]
            service.remember.append(project, conversation, new, _FIRST_TIME)
            progress.advance(task, len(new))


def _as_new(turn: Turn, service: Service) -> NewTurn:
    item = {"role": turn.role, "content": turn.text}
    stored_as = {
        "id": legal_id(turn.id),
        "name": turn.speaker,
        "created_at": turn.time.isoformat(),
    }
    return parse_item(item, dumps(item), stored_as, service.item_limits, turn.id)


def wait_for_index(service: Service, progress: Progress) -> None:
    """Wait until Chroma has every vector; raises MeasurementError if it gets no further."""
    waiting = least = service.index_status().lag
    task = progress.add_task("wait for the index", total=waiting)
    deadline = time.monotonic() + _STALLED_SECONDS
    while (status := service.index_status()).lag:
        if status.lag < least:
            least, deadline = status.lag, time.monotonic() + _STALLED_SECONDS
        if status.parked or time.monotonic() > deadline:
            raise MeasurementError(
                f"the index is {status.lag} passages behind and does not catch up: {status.error}"
            )
        progress.update(task, completed=waiting - status.lag)
        time.sleep(_POLL_SECONDS)
    progress.update(task, completed=waiting)


def ask(service: Service, project: int, question: Question) -> Answer:
    """Ask one question; raises MeasurementError if the recall had to do without a channel."""
    conversation = legal_id(question.conversation)
    query = Query(text=question.text, top_k=TOP_K)
    began = time.perf_counter()
    found = service.recaller.in_conversation(project, conversation, query)
    seconds = time.perf_counter() - began
    if found.degraded is not None:
        raise MeasurementError(f"{question.id}: a recall went on without {found.degraded}")
    return Answer(question, [(own_id(hit.turn.id), hit.score) for hit in found.hits], seconds)


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


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=stderr(), transient=True)
