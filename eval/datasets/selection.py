"""Which questions of a set are asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from eval.datasets.models import ADVERSARIAL, Dataset, Question
from eval.errors import DatasetError


def of_categories(
    questions: Sequence[Question], *, skipped: Sequence[str] = (), only: Sequence[str] = ()
) -> list[Question]:
    """Return the questions of the wanted categories; all categories are wanted if `only` is empty.

    Raises BadParameter for a category that no question has, DatasetError if none is left.
    """
    _check_categories(questions, "--skip-category", skipped)
    _check_categories(questions, "--only-category", only)
    kept = [
        question
        for question in questions
        if question.category not in skipped and (not only or question.category in only)
    ]
    if not kept:
        raise DatasetError("no question is left to ask")
    return kept


def with_gold(questions: Sequence[Question], skipped: Sequence[str]) -> list[Question]:
    """Return the questions that have gold, without those of skipped categories.

    Raises BadParameter for a category that no question has, DatasetError if none is left.
    """
    _check_categories(questions, "--skip-category", skipped)
    kept = [question for question in questions if question.gold]
    kept = [question for question in kept if question.category not in skipped]
    if not kept:
        raise DatasetError("no question is left to ask: none has gold, or all are skipped")
    return kept


def with_answer(dataset: Dataset) -> list[Question]:
    """Return the questions that have an answer to compare with; adversarial ones have none.

    Raises DatasetError if none is left.
    """
    kept = [
        question
        for question in dataset.questions
        if question.answer and question.category != ADVERSARIAL
    ]
    if not kept:
        raise DatasetError("no question has an answer")
    return kept


def spread(questions: Sequence[Question], number: int | None) -> list[Question]:
    """Return that many questions, at even distances; all of them if there are no more."""
    if number is None or number >= len(questions):
        return list(questions)
    return [questions[index * len(questions) // number] for index in range(number)]


def _check_categories(questions: Sequence[Question], option: str, names: Sequence[str]) -> None:
    categories = sorted({question.category for question in questions})
    for name in names:
        if name not in categories:
            raise typer.BadParameter(
                f"{option}: no question is {name!r}; there are {', '.join(categories)}"
            )
