"""`python -m eval growth`: what becomes of recall and of time while everything around grows.

The questions of a few real conversations are asked again and again, while turns of the set's other
conversations pile up around the turns that answer them: all in one conversation, or in ever more
conversations of one user. The service runs in this process, as in `python -m eval recall`; both
ways to compare vectors are measured at each size, in memory and by Chroma.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from eval import metrics, runs, stored
from eval.catalogue import DatasetName, Source
from eval.console import complain, output_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question, Turn
from eval.serving import disk_use, memory_of
from memory_service.build_prompt import PromptRequest
from memory_service.remember import Attempt, NewConversation
from memory_service.service import Service
from memory_service.settings import load_settings
from memory_service.terminal import stdout

PROMPT_TOKENS = 1_000
STRETCH = 20
"""Turns that a distractor takes from another conversation in one piece, with their neighbours."""
SMALL_CONVERSATION = 50
"""Turns of each distracting conversation where there are many."""
GROWN = "grown"

PACKAGES = ("chromadb", "numpy", "sqlalchemy")

_TOP_K = 10
_WARM_UPS = 10

Json = dict[str, Any]


class Layout(StrEnum):
    """Where the turns pile up."""

    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `sizes` are turns of one conversation, or conversations of one user."""

    layout: Layout
    sizes: Sequence[int]
    targets: int
    questions: int
    seed: int


def growth(
    dataset: Annotated[DatasetName, typer.Option(help="The set.")] = "own",
    docs: Annotated[Path | None, typer.Option(help="JSON lines of turns.")] = None,
    queries: Annotated[Path | None, typer.Option(help="JSON lines of questions.")] = None,
    data: Annotated[Path | None, typer.Option(help="The published file, or the folder.")] = None,
    layout: Annotated[Layout, typer.Option(help="Where the turns pile up.")] = Layout.ONE,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", min=1, help="Turns (one) or conversations (many); repeat it."),
    ] = None,
    targets: Annotated[int, typer.Option(min=1, help="Conversations that are asked about.")] = 1,
    questions: Annotated[int, typer.Option(min=1, help="Questions asked at each size.")] = 100,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Ask the same questions inside ever more of other conversations' turns."""
    given = sizes or ([1_000, 10_000] if layout is Layout.ONE else [200, 2_000])
    plan = Plan(layout, sorted(set(given)), targets, questions, seed)
    result: Json = {"provenance": runs.provenance(PACKAGES), "plan": asdict(plan), "sizes": []}
    try:
        chosen = Source(dataset, docs=docs, queries=queries, data=data).load()
        result["dataset"] = {"name": chosen.name, "sha256": chosen.fingerprint()}
        with progress_bar() as progress, tempfile.TemporaryDirectory(prefix="growth-") as folder:
            for found in _Growth(chosen, plan, Path(folder), progress).measure():
                result["sizes"].append(found)
                if json_out is not None:
                    # After each size: the largest take an hour, and may not end.
                    json_out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except (DatasetError, stored.MeasurementError) as error:
        raise complain("growth", error) from error
    stdout().print(table(result))


class _Growth:
    """One folder that grows from size to size."""

    def __init__(self, dataset: Dataset, plan: Plan, folder: Path, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._rng = random.Random(plan.seed)
        self._targets = _most_asked(dataset, plan.targets)
        self._turns = [turn for name in self._targets for turn in dataset.conversations[name]]
        self._others = [
            turns for name, turns in dataset.conversations.items() if name not in self._targets
        ]
        if not self._others:
            raise DatasetError("there is no other conversation to draw distractors from")
        self._questions = self._drawn(dataset)
        self._settings = load_settings().model_copy(update={"data_dir": folder / "data"})
        self._begin = min(turn.time for turn in self._turns)
        self._span = max(turn.time for turn in self._turns) - self._begin
        self._numbers = itertools.count(1)
        self._size = 0

    def measure(self) -> Iterator[Json]:
        """Yield the numbers of each size in both modes."""
        for size in self._plan.sizes:
            self._grow(size)
            for exact_scan_max in (self._settings.exact_scan_max, 0):
                yield self._measured(size, exact_scan_max)

    def _drawn(self, dataset: Dataset) -> list[Question]:
        one_place = self._plan.layout is Layout.ONE
        asked = [
            replace(
                one,
                conversation=GROWN if one_place else None,
                user=None if one_place else GROWN,
            )
            for one in dataset.questions
            if one.gold and one.conversation in self._targets
        ]
        return self._rng.sample(asked, min(len(asked), self._plan.questions))

    def _grow(self, size: int) -> None:
        with Service.open(self._settings, purpose="eval growth") as service:
            if self._plan.layout is Layout.ONE:
                self._grow_conversation(service, size)
            else:
                self._grow_user(service, size)
            stored.wait_for_index(service, self._progress)
        self._size = size

    def _grow_conversation(self, service: Service, size: int) -> None:
        """Bring one conversation to a size: first the targets' turns, in stretches among others."""
        new: list[Turn] = []
        if self._size == 0:
            for start in range(0, len(self._turns), STRETCH):
                new += self._turns[start : start + STRETCH]
                if len(new) + len(self._turns) - start < size:
                    new += self._distractor(STRETCH)
        room = size - self._size
        while len(new) < room:
            new += self._distractor(min(STRETCH, room - len(new)))
        if self._size == 0:
            self._create(service, GROWN, user=None)
        self._append(service, {GROWN: new})

    def _grow_user(self, service: Service, size: int) -> None:
        """Bring a user to a number of conversations: first the targets, then others."""
        new: dict[str, Sequence[Turn]] = {}
        if self._size == 0:
            for name in self._targets:
                new[name] = [turn for turn in self._turns if turn.conversation == name]
        for number in range(self._size + len(new), size):
            new[f"other-{number}"] = self._distractor(SMALL_CONVERSATION)
        for name in new:
            self._create(service, name, user=GROWN)
        self._append(service, new)

    def _create(self, service: Service, name: str, user: str | None) -> None:
        made = NewConversation(stored.legal_id(name), user, None, {})
        service.remember.create_conversation(
            service.local_project(), made, [], Attempt(None, b"", is_retry=False)
        )

    def _append(self, service: Service, new: Mapping[str, Sequence[Turn]]) -> None:
        task = self._progress.add_task("store", total=sum(map(len, new.values())))
        for name, turns in new.items():
            stored.append(
                service,
                service.local_project(),
                stored.legal_id(name),
                turns,
                lambda count: self._progress.advance(task, count),
            )

    def _distractor(self, count: int) -> list[Turn]:
        """Return consecutive turns of another conversation, at some time of the targets' span."""
        turns = self._rng.choice(self._others)
        start = self._rng.randrange(max(1, len(turns) - count))
        began = self._begin + self._rng.random() * self._span
        return [
            replace(
                turn,
                id=f"distractor-{next(self._numbers)}",
                time=_minutes_after(began, number),
            )
            for number, turn in enumerate(
                itertools.islice(itertools.cycle(turns), start, start + count)
            )
        ]

    def _measured(self, size: int, exact_scan_max: int) -> Json:
        settings = self._settings.model_copy(update={"exact_scan_max": exact_scan_max})
        with Service.open(settings, purpose="eval growth") as service:
            for question in self._questions[:_WARM_UPS]:
                self._asked(service, question)
            task = self._progress.add_task(f"ask in {size:,}", total=len(self._questions))
            lines = []
            for question in self._questions:
                lines.append(self._asked(service, question))
                self._progress.advance(task)
            memory = memory_of(os.getpid())
            passages = _passages(service, self._questions[0])
        return {
            "size": size,
            "passages": passages,
            "exact_scan_max": exact_scan_max,
            "questions": len(lines),
            f"recall@{_TOP_K}": _mean([line["recall"] for line in lines]),
            f"evidence@{PROMPT_TOKENS}": _mean([line["evidence"] for line in lines]),
            "search_ms": _percentiles([line["search_ms"] for line in lines]),
            "context_ms": _percentiles([line["context_ms"] for line in lines]),
            "memory": memory,
            "disk_bytes": disk_use(self._settings.data_dir),
        }

    def _asked(self, service: Service, question: Question) -> dict[str, float]:
        """Search for a question and build its prompt: shares of the gold found, and times."""
        project = service.local_project()
        began = time.perf_counter()
        found = stored.recall(service.recaller, project, question, _TOP_K)
        searched = time.perf_counter()
        prompt = service.prompts.build(
            project,
            GROWN if question.user is None else stored.legal_id(self._targets[0]),
            PromptRequest(
                input=[{"role": "user", "content": question.text}],
                token_budget=PROMPT_TOKENS,
                max_output_tokens=0,
                recent_turns=0,
                top_k=100,
                scope="conversation" if question.user is None else "user",
            ),
        )
        built = time.perf_counter()
        gold = set(question.gold)
        quoted = {stored.own_id(hit.turn.id) for hit in prompt.recalled}
        ranked = [stored.own_id(hit.turn.id) for hit in found.hits]
        return {
            "recall": metrics.recall(ranked, gold, _TOP_K),
            "evidence": len(gold & quoted) / len(gold),
            "search_ms": (searched - began) * 1_000,
            "context_ms": (built - searched) * 1_000,
        }


def table(result: Json) -> Table:
    """Return the numbers, a row for each size and mode."""
    shown = Table(
        *(
            "size",
            "vectors",
            "recall@10",
            "in prompt",
            "search, ms",
            "context, ms",
            "MB",
            "disk MB",
        ),
        title="Growth",
        caption=f"in prompt: share of the gold turns in one of {PROMPT_TOKENS:,} tokens; "
        "times: p50 / p99; MB: of this process and Chroma's",
    )
    for one in result["sizes"]:
        shown.add_row(
            f"{one['size']:,}",
            "Chroma" if one["exact_scan_max"] < one["passages"] else "memory",
            f"{one['recall@10']:.3f}",
            f"{one['evidence@1000']:.3f}",
            " / ".join(f"{one['search_ms'][name]:.1f}" for name in ("p50", "p99")),
            " / ".join(f"{one['context_ms'][name]:.1f}" for name in ("p50", "p99")),
            "-" if one["memory"] is None else f"{one['memory']['rss_bytes'] / 1e6:,.0f}",
            f"{one['disk_bytes']['total'] / 1e6:,.0f}",
        )
    return shown


def _most_asked(dataset: Dataset, count: int) -> list[str]:
    """Return the conversations with the most questions that have gold."""
    asked = dict.fromkeys(dataset.conversations, 0)
    for question in dataset.questions:
        if question.conversation is not None and question.gold:
            asked[question.conversation] += 1
    return sorted(asked, key=lambda name: (-asked[name], name))[:count]


def _passages(service: Service, question: Question) -> int:
    """Return the passages of the scope that is asked."""
    project = service.local_project()
    with service.log.read() as log:
        if question.user is None:
            found = log.conversation(project, GROWN)
            return 0 if found is None else found.passages
        user = log.user_key(project, GROWN)
        return 0 if user is None else log.scope_of_user(project, user).statistics.passages


def _minutes_after(began: datetime, minutes: int) -> datetime:
    return began + timedelta(minutes=minutes)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {
        name: round(metrics.percentile(values, share), 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
