"""The plan of the benchmark of growth, and the questions that are asked at each size."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

from eval.datasets.models import Dataset, DatasetTurn, Question
from eval.datasets.selection import with_gold

GROWN = "grown"
"""The id of the conversation, or of the user, whose turns grow."""


class GrowthLayout(StrEnum):
    """Where turns are added: to one conversation, or as many conversations of one user."""

    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """What is measured: `sizes` are turns of one conversation, or conversations of one user."""

    layout: GrowthLayout
    sizes: Sequence[int]
    exact_scan_max: Sequence[int]
    targets: int
    questions: int
    skip_category: Sequence[str]
    seed: int


@dataclass(frozen=True, slots=True)
class GrowthWorkload:
    """The questions, the conversations that they are about, and the others.

    `asked_in` is the conversation that prompts are built in if the turns are of a user.
    """

    questions: Sequence[Question]
    targets: dict[str, Sequence[DatasetTurn]]
    others: Sequence[Sequence[DatasetTurn]]
    asked_in: str

    def fingerprint(self) -> str:
        """Return a SHA-256 of the turns that a store is made of."""
        digest = sha256()
        for turns in (*self.targets.values(), *self.others):
            for turn in turns:
                fields = [turn.id, turn.time.isoformat(), turn.speaker, turn.role, turn.text]
                digest.update(json.dumps(fields).encode())
        return digest.hexdigest()


def choose_workload(
    dataset: Dataset, others: Sequence[Sequence[DatasetTurn]], plan: GrowthPlan
) -> GrowthWorkload:
    """Return the workload of a plan: the conversations with the most questions are asked about.

    `others` are further conversations to draw distractors from.
    """
    questions = with_gold(dataset.questions, plan.skip_category)
    names = _most_asked(dataset, questions, plan.targets)
    rest = [turns for name, turns in dataset.conversations.items() if name not in names]
    return GrowthWorkload(
        questions=_draw(questions, names, plan),
        targets={name: dataset.conversations[name] for name in names},
        others=[*rest, *others],
        asked_in=names[0] if plan.layout is GrowthLayout.MANY else GROWN,
    )


def _most_asked(dataset: Dataset, questions: Sequence[Question], count: int) -> list[str]:
    """Return the conversations with the most questions."""
    numbers = dict.fromkeys(dataset.conversations, 0)
    for question in questions:
        if question.conversation is not None:
            numbers[question.conversation] += 1
    return sorted(numbers, key=lambda name: (-numbers[name], name))[:count]


def _draw(questions: Sequence[Question], names: Sequence[str], plan: GrowthPlan) -> list[Question]:
    """Return questions about the targets, asked about the part that grows."""
    in_one = plan.layout is GrowthLayout.ONE
    conversation, user = (GROWN, None) if in_one else (None, GROWN)
    about_targets = [
        replace(question, conversation=conversation, user=user)
        for question in questions
        if question.conversation in names
    ]
    number = min(len(about_targets), plan.questions)
    return random.Random(plan.seed).sample(about_targets, number)
