"""Evidence: the share of gold turns in the prompts of a set's questions.

A question is asked at the end of its conversation. A gold turn counts if the prompt has it in the
recent window or in the recalled block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.progress import Progress

from eval.benchmarks.windows.sizes import PromptSize, builder_of
from eval.datasets.models import Question
from eval.errors import MeasurementError
from eval.systems.dataset_store import recent_turn_ids
from eval.systems.ids import dataset_id, service_id
from memory_service.core.clock import parse_time
from memory_service.core.models import Prompt
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.request import PromptRequest
from memory_service.service import Service


@dataclass(frozen=True, slots=True)
class EvidenceMeasurement:
    """The mean share of a question's gold turns in its prompt, and the mean tokens of a prompt."""

    size: PromptSize
    questions: int
    gold: float
    tokens: float


def answerable(questions: Sequence[Question]) -> list[Question]:
    """Return the questions with gold turns in one conversation; raises MeasurementError if none."""
    kept = [question for question in questions if question.gold and question.conversation]
    if not kept:
        raise MeasurementError("the set has no question about one conversation with gold turns")
    return kept


def measure_evidence(
    service: Service, questions: Sequence[Question], sizes: Sequence[PromptSize], progress: Progress
) -> list[EvidenceMeasurement]:
    """Build the prompt of every question in every size."""
    task = progress.add_task("evidence", total=len(questions) * len(sizes))
    measurements = []
    for size in sizes:
        builder = builder_of(service, size)
        shares, tokens = [], []
        for question in questions:
            prompt = _prompt(builder, service, question)
            shares.append(_gold_share(service, question, prompt))
            tokens.append(prompt.tokens.total)
            progress.advance(task)
        measurements.append(EvidenceMeasurement(size, len(questions), fmean(shares), fmean(tokens)))
    return measurements


def _prompt(builder: PromptBuilder, service: Service, question: Question) -> Prompt:
    now, offset = parse_time(question.now.isoformat(), question.id)
    request = PromptRequest(
        [{"role": "user", "content": question.text}],
        scope="conversation",
        now=now,
        utc_offset_minutes=offset,
    )
    return builder.build(service.local_project(), service_id(str(question.conversation)), request)


def _gold_share(service: Service, question: Question, prompt: Prompt) -> float:
    recalled = {dataset_id(hit.turn.id) for hit in prompt.recalled}
    recent = recent_turn_ids(
        service, str(question.conversation), prompt.recent_first_seq, prompt.recent_last_seq
    )
    return len(set(question.gold) & (recalled | recent)) / len(question.gold)
