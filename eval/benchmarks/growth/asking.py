"""Asking the questions in a grown store, in this process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.progress import Progress

from eval.benchmarks.growth.measurements import (
    PROMPT_TOKENS,
    TOP_K,
    GrowthMeasurement,
    QuestionMeasurement,
)
from eval.benchmarks.growth.plan import GrowthWorkload
from eval.benchmarks.resources import disk_use, memory_of, reset_highest_memory
from eval.datasets.models import Question
from eval.metrics import ranking
from eval.systems import dataset_store
from eval.systems.ids import dataset_id, service_id
from memory_service.core.settings import Settings
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service

_WARM_UPS = 10


def measure(
    folder: Path, size: int, workload: GrowthWorkload, settings: Settings, progress: Progress
) -> GrowthMeasurement:
    """Open a store and ask all questions in it, after some of them without timing."""
    reset_highest_memory()
    began = time.perf_counter()
    opened_with = settings.model_copy(update={"data_dir": folder})
    with Service.open(opened_with, purpose="eval growth") as service:
        open_seconds = time.perf_counter() - began
        first = ask(service, workload.questions[0], workload.asked_in)
        for question in workload.questions[:_WARM_UPS]:
            ask(service, question, workload.asked_in)
        task = progress.add_task(f"ask in {size:,}", total=len(workload.questions))
        by_question = []
        for question in workload.questions:
            by_question.append(ask(service, question, workload.asked_in))
            progress.advance(task)
        memory = memory_of(os.getpid())
        passages = dataset_store.count_passages(service, workload.questions[0])
    return GrowthMeasurement(
        size=size,
        passages=passages,
        exact_scan_max=settings.exact_scan_max,
        open_seconds=round(open_seconds, 3),
        first_search_ms=round(first.search_ms, 3),
        memory=memory,
        disk_bytes=disk_use(folder),
        by_question=by_question,
    )


def ask(service: Service, question: Question, conversation: str) -> QuestionMeasurement:
    """Search for a question, and build its prompt in a conversation."""
    began, began_cpu = time.perf_counter(), time.process_time()
    result = dataset_store.recall(service, question, TOP_K)
    searched, searched_cpu = time.perf_counter(), time.process_time()
    prompt = service.prompts.build(
        service.local_project(),
        service_id(conversation),
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
    quoted = {dataset_id(hit.turn.id) for hit in prompt.recalled}
    ranked = [dataset_id(hit.turn.id) for hit in result.hits]
    return QuestionMeasurement(
        id=question.id,
        recall=ranking.recall(ranked, gold, TOP_K),
        evidence=len(gold & quoted) / len(gold),
        search_ms=(searched - began) * 1_000,
        search_cpu_ms=(searched_cpu - began_cpu) * 1_000,
        context_ms=(built - searched) * 1_000,
        context_cpu_ms=(built_cpu - searched_cpu) * 1_000,
    )
