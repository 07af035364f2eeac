"""`python -m eval growth`: what becomes of recall and of time while everything around grows.

The questions of a few real conversations are asked again and again, while turns of other
conversations (`eval.distractors`) pile up around the turns that answer them: all in one
conversation, or in ever more conversations of one user. The service runs in this process, as in
`python -m eval recall`; both ways to compare vectors are measured at each size, in memory and by
Chroma.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from eval.benchmarks.growing_stores import GROWN, GrownStores, Layout
from eval.benchmarks.serving import disk_use, forget_highest_memory, memory_of
from eval.console import complain, input_file, output_file, progress_bar
from eval.datasets import Dataset, DatasetError, Question, Turn, distractors, jsonl
from eval.datasets.catalogue import DatasetName, Source
from eval.metrics import ranking
from eval.runs import provenance
from eval.runs.recall import choose
from eval.systems import stored
from memory_service.commands.terminal import stdout
from memory_service.core.settings import load_settings
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service

PROMPT_TOKENS = 1_000

PACKAGES = ("chromadb", "numpy", "sqlalchemy")

_TOP_K = 10
_WARM_UPS = 10

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `sizes` are turns of one conversation, or conversations of one user."""

    layout: Layout
    sizes: Sequence[int]
    exact_scan_max: Sequence[int]
    targets: int
    questions: int
    skip_category: Sequence[str]
    seed: int


def growth(
    dataset: Annotated[DatasetName, typer.Option(help="The set.")] = "own",
    docs: Annotated[Path | None, typer.Option(help="JSON lines of turns.")] = None,
    queries: Annotated[Path | None, typer.Option(help="JSON lines of questions.")] = None,
    data: Annotated[Path | None, typer.Option(help="The published file, or the folder.")] = None,
    among: Annotated[
        list[Path] | None,
        input_file("JSON lines of more turns to draw distractors from; repeat it."),
    ] = None,
    layout: Annotated[Layout, typer.Option(help="Where the turns pile up.")] = Layout.ONE,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", min=1, help="Turns (one) or conversations (many); repeat it."),
    ] = None,
    exact_scan_max: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            help="MEMORY_EXACT_SCAN_MAX of a measurement; repeat it. By default the one of the "
            "settings, and 0.",
        ),
    ] = None,
    targets: Annotated[int, typer.Option(min=1, help="Conversations that are asked about.")] = 1,
    questions: Annotated[int, typer.Option(min=1, help="Questions asked at each size.")] = 100,
    skip_category: Annotated[
        list[str] | None, typer.Option(help="A category that is not asked; repeat it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for the stores: what is there already is not stored again.",
        ),
    ] = None,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Ask the same questions inside ever more of other conversations' turns.

    Which are asked is drawn by the seed from those with gold, and stands in the JSON. With --keep a
    run that was interrupted goes on, and a later one only measures; a million turns take 5 GB.
    """
    given = sizes or ([1_000, 10_000] if layout is Layout.ONE else [200, 2_000])
    plan = Plan(
        layout=layout,
        sizes=sorted(set(given)),
        exact_scan_max=exact_scan_max or [load_settings().exact_scan_max, 0],
        targets=targets,
        questions=questions,
        skip_category=skip_category or [],
        seed=seed,
    )
    result: Json = {
        "provenance": provenance.provenance(PACKAGES),
        "plan": asdict(plan),
        "sizes": [],
    }
    try:
        chosen = Source(dataset, docs=docs, queries=queries, data=data).load()
        others = [turns for path in among or () for turns in jsonl.turns(path).values()]
        result["dataset"] = {"name": chosen.name, "sha256": chosen.fingerprint()}
        with progress_bar() as progress, _folder(keep) as folder:
            measured = _Growth(chosen, others, plan, folder, progress)
            result["asked"] = [question.id for question in measured.questions]
            for found in measured.measure():
                result["sizes"].append(found)
                if json_out is not None:
                    # After each size: the largest take an hour, and may not end.
                    json_out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except (DatasetError, stored.MeasurementError) as error:
        raise complain("growth", error) from error
    stdout().print(table(result))


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield the folder that is kept, or one that is gone afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        yield Path(folder)


class _Growth:
    """The questions, and the stores that they are asked in."""

    def __init__(
        self,
        dataset: Dataset,
        others: Sequence[Sequence[Turn]],
        plan: Plan,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._progress = progress
        asked = choose(dataset.questions, plan.skip_category)
        names = _most_asked(dataset, asked, plan.targets)
        targets = {name: dataset.conversations[name] for name in names}
        others = [
            *(turns for name, turns in dataset.conversations.items() if name not in targets),
            *others,
        ]
        everything = [turn for turns in targets.values() for turn in turns]
        self._asked_in = names[0]
        self.questions = _drawn(asked, names, plan)
        self._stores = GrownStores(
            folder,
            plan.layout,
            targets,
            distractors.Distractors(everything, others, plan.seed),
            {
                "targets": list(targets),
                "seed": plan.seed,
                "distractors": distractors.VERSION,
                "turns_sha256": _fingerprint([*targets.values(), *others]),
            },
        )
        self._settings = load_settings().model_copy(update={"upstream_base_url": None})

    def measure(self) -> Iterator[Json]:
        """Yield the numbers of each size in each mode; modes that come to the same only once."""
        for size in self._plan.sizes:
            folder = self._stores.grow(size, self._settings, self._progress)
            asks_index = False
            for most in sorted(self._plan.exact_scan_max, reverse=True):
                if asks_index:
                    break
                found = self._measured(folder, size, most)
                asks_index = found["passages"] > most
                yield found

    def _measured(self, folder: Path, size: int, exact_scan_max: int) -> Json:
        settings = self._settings.model_copy(
            update={"data_dir": folder, "exact_scan_max": exact_scan_max}
        )
        forget_highest_memory()
        began = time.perf_counter()
        with Service.open(settings, purpose="eval growth") as service:
            opened = time.perf_counter()
            first = self._asked(service, self.questions[0])
            for question in self.questions[:_WARM_UPS]:
                self._asked(service, question)
            task = self._progress.add_task(f"ask in {size:,}", total=len(self.questions))
            lines: list[Json] = []
            for question in self.questions:
                lines.append({"id": question.id, **self._asked(service, question)})
                self._progress.advance(task)
            memory = memory_of(os.getpid())
            passages = _passages(service, self.questions[0])
        return {
            "size": size,
            "passages": passages,
            "exact_scan_max": exact_scan_max,
            "questions": len(lines),
            f"recall@{_TOP_K}": _mean([line["recall"] for line in lines]),
            f"evidence@{PROMPT_TOKENS}": _mean([line["evidence"] for line in lines]),
            "open_seconds": round(opened - began, 3),
            "first_search_ms": round(first["search_ms"], 3),
            "search_ms": _percentiles([line["search_ms"] for line in lines]),
            "search_cpu_ms": _percentiles([line["search_cpu_ms"] for line in lines]),
            "context_ms": _percentiles([line["context_ms"] for line in lines]),
            "context_cpu_ms": _percentiles([line["context_cpu_ms"] for line in lines]),
            "memory": memory,
            "disk_bytes": disk_use(folder),
            "by_question": lines,
        }

    def _asked(self, service: Service, question: Question) -> dict[str, float]:
        """Search for a question and build its prompt: shares of the gold found, and times."""
        project = service.local_project()
        began, began_cpu = time.perf_counter(), time.process_time()
        found = stored.recall(service.recaller, project, question, _TOP_K)
        searched, searched_cpu = time.perf_counter(), time.process_time()
        prompt = service.prompts.build(
            project,
            GROWN if question.user is None else stored.legal_id(self._asked_in),
            PromptRequest(
                input=[{"role": "user", "content": question.text}],
                token_budget=PROMPT_TOKENS,
                max_output_tokens=0,
                recent_turns=0,
                top_k=100,
                scope="conversation" if question.user is None else "user",
            ),
        )
        built, built_cpu = time.perf_counter(), time.process_time()
        gold = set(question.gold)
        quoted = {stored.own_id(hit.turn.id) for hit in prompt.recalled}
        ranked = [stored.own_id(hit.turn.id) for hit in found.hits]
        return {
            "recall": ranking.recall(ranked, gold, _TOP_K),
            "evidence": len(gold & quoted) / len(gold),
            "search_ms": (searched - began) * 1_000,
            "search_cpu_ms": (searched_cpu - began_cpu) * 1_000,
            "context_ms": (built - searched) * 1_000,
            "context_cpu_ms": (built_cpu - searched_cpu) * 1_000,
        }


def _drawn(asked: Sequence[Question], names: Sequence[str], plan: Plan) -> list[Question]:
    """Return the questions about the targets, as they are asked where everything piles up."""
    one_place = plan.layout is Layout.ONE
    about = [
        replace(one, conversation=GROWN if one_place else None, user=None if one_place else GROWN)
        for one in asked
        if one.conversation in names
    ]
    return random.Random(plan.seed).sample(about, min(len(about), plan.questions))


def _fingerprint(conversations: Sequence[Sequence[Turn]]) -> str:
    """Return a SHA-256 of the turns that a store is made of."""
    digest = sha256()
    for turns in conversations:
        for turn in turns:
            said = [turn.id, turn.time.isoformat(), turn.speaker, turn.role, turn.text]
            digest.update(json.dumps(said).encode())
    return digest.hexdigest()


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


def _most_asked(dataset: Dataset, asked: Sequence[Question], count: int) -> list[str]:
    """Return the conversations with the most questions."""
    found = dict.fromkeys(dataset.conversations, 0)
    for question in asked:
        if question.conversation is not None:
            found[question.conversation] += 1
    return sorted(found, key=lambda name: (-found[name], name))[:count]


def _passages(service: Service, question: Question) -> int:
    """Return the passages of the scope that is asked."""
    project = service.local_project()
    with service.log.read() as snapshot:
        if question.user is None:
            found = snapshot.conversations.get(project, GROWN)
            return 0 if found is None else found.passages
        user = snapshot.users.key_of(project, GROWN)
        return (
            0
            if user is None
            else snapshot.conversations.scope_of_user(project, user).statistics.passages
        )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {
        name: round(ranking.percentile(values, share), 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
