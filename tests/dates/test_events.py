"""Events that a question names as times ("the day after the concert")."""

from datetime import date, timedelta

import pytest

from memory_service.dates.expressions import event_spans, time_reference
from memory_service.dates.periods import Period

TODAY = date(2025, 3, 12)  # a Wednesday


@pytest.mark.parametrize(
    ("question", "event", "first", "last"),
    [
        ("How did I feel the morning after the half marathon?", "half marathon", 11, 11),
        ("What hurt two weeks before Chester?", "Chester", -7, -1),
        ("How was he on the day he was operated on?", "he was operated on", 10, 10),
        ("What did we say the day after the summer concert?", "summer concert", 11, 11),
        ("What did I buy shortly after we moved?", "we moved", 11, 20),
    ],
)
def test_expression_with_event_means_days_around_it(
    question: str, event: str, first: int, last: int
) -> None:
    (span,) = event_spans(question)
    assert question[slice(*span)] == event
    reference = time_reference(question, TODAY, event_days={span: date(2024, 10, 10)})
    before = date(2024, 9, 30)
    assert reference.periods == (
        Period(before + timedelta(days=first), before + timedelta(days=last)),
    )
    assert event in reference.without(question)


@pytest.mark.parametrize(
    ("language", "question", "event"),
    [
        ("de", "Was geschah am Tag nach der Prüfung?", "Prüfung"),
        ("es", "¿Qué pasó dos semanas antes de la boda?", "boda"),
        ("ru", "Что было на следующий день после экзамена?", "экзамена"),
        ("de", "Wer stand vor dem Haus?", None),
        ("en", "Who looks after my cat?", None),
        ("en", "What is the day of the week?", None),
        ("en", "What was the plan before Easter?", None),
        ("en", "What did I eat the day before yesterday?", None),
    ],
)
def test_event_is_no_date_and_no_place(language: str, question: str, event: str | None) -> None:
    named = [question[slice(*span)] for span in event_spans(question, [language])]
    assert named == ([event] if event else [])
