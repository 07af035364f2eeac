"""The prompts: to answer from the quoted turns, and to judge an answer.

Both are the project's own. Papers use other prompts, models and amounts of context, so these
numbers are not comparable with published ones; they compare systems and settings with each other,
under one model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eval.datasets.models import Question

NOT_COMPARABLE = (
    "Prompts, judge and context differ from those of papers: these numbers compare systems and "
    "settings with each other, and are not comparable with published ones."
)
ANSWERING = (
    "You have a memory of earlier conversations. Turns from it are quoted before the question, "
    "each with its date and speaker. Answer the question from them. Work out relative dates from "
    "the date of the turn that says them. Reply with the answer alone, in as few words as "
    "possible and in the language of the question. If the turns do not say it, reply: I do not "
    "know. It is now {now}."
)
JUDGING = (
    "You check answers against a reference. An answer is correct if it says what the reference "
    "says: other words, more detail, or another form of the same date or number are fine; a part "
    "that is missing or contradicts the reference is not. If the reference says that something is "
    "unknown or was never said, an answer that declines to say it is correct. Reply with one word: "
    "CORRECT or WRONG."
)
JUDGED = "Question: {question}\n\nReference: {reference}\n\nAnswer: {answer}"

_VERDICT = re.compile(r"\b(correct|incorrect|wrong)\b", re.IGNORECASE)

Message = Mapping[str, Any]


def instructions(now: datetime) -> str:
    """Return the system message of an answer."""
    return ANSWERING.format(now=now.strftime("%A, %Y-%m-%d %H:%M"))


def judge_messages(question: Question, answer: str) -> Sequence[Message]:
    """Return the messages that ask for a verdict."""
    task = JUDGED.format(question=question.text, reference=question.answer, answer=answer)
    return [{"role": "system", "content": JUDGING}, {"role": "user", "content": task}]


def read_verdict(verdict: str) -> bool | None:
    """Return whether a verdict is "correct"; None if it is not clearly one or the other."""
    words = {word.casefold() for word in _VERDICT.findall(verdict)}
    if words == {"correct"} and not re.search(r"\bnot\b", verdict, re.IGNORECASE):
        return True
    return False if words and "correct" not in words else None
