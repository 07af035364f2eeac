"""Evidence: the share of a question's gold that is in a prompt of a given budget. Pure.

A gold turn counts if it is quoted. A short gold answer counts if it is in the recalled block as
words (case, typography and punctuation folded), and is not part of the question.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from eval.datasets.models import Question
from eval.metrics.short_answers import folded, stands_in

BUDGETS = (250, 500, 1_000, 2_000, 4_000)
"""Tokens of the prompts that are filled."""
DEPTH = 200
"""Turns that a system is asked for to fill a prompt: more short ones than 4,000 tokens hold."""
SHORT_ANSWER_WORDS = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """The share of gold turns in one prompt, and whether the short answer is in it (1 or 0).

    `gold` is None without gold. `answer` is None where there is no short answer, or the question
    contains it.
    """

    gold: float | None
    answer: float | None


def evidence(question: Question, turn_ids: Collection[str], recalled_block: str) -> Evidence:
    """Return the evidence in a prompt with these turns in this recalled block."""
    gold = None
    if question.gold:
        gold = len(set(question.gold).intersection(turn_ids)) / len(question.gold)
    answer = short_answer(question)
    return Evidence(gold, None if answer is None else float(stands_in(answer, recalled_block)))


def short_answer(question: Question) -> str | None:
    """Return the words to look for.

    None without gold, without a short answer, and if the question contains the answer.
    """
    written = question.answer_in or question.answer
    if not question.gold or written is None:
        return None
    words = len(written.split()) if folded(written) else 0
    if not 0 < words <= SHORT_ANSWER_WORDS or stands_in(written, question.text):
        return None
    return written
