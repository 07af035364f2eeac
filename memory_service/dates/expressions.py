"""Time expressions: the times that a question means, such as "the week after Easter". Pure.

Days are those of the asker's time zone, in which `today` must be given. A date without a year is
the latest one that is not in the future. The grammar is that of English; a question in German,
Spanish, Russian or Chinese is read in the translation of its times (see `translation`). A question
in another language means no time and is ranked by its words.

Easter and calendar arithmetic are dateutil's. Its parser, like others, has no grammar around a date
(parts, offsets, ranges, sessions), which people use when they ask for something that was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType

from memory_service.dates.calendar_rules import PeriodMatch
from memory_service.dates.events import find_events
from memory_service.dates.expression_reader import ExpressionReader
from memory_service.dates.named_days import nearest_days, next_days
from memory_service.dates.periods import Period
from memory_service.dates.sessions import SessionRange, find_sessions
from memory_service.dates.translation import Translation, translate
from memory_service.dates.vocabularies import LANGUAGES
from memory_service.text.spans import Span

_MAX_CHARACTERS = 2_000
"""A longer text is a pasted document, not a question: its dates do not tell when it was said."""

_WORD = re.compile(r"\b\w+")
_EARLIER = re.compile(r"\bearlier\b", re.IGNORECASE)
_ENGLISH: tuple[str | None, ...] = ("en",)


@dataclass(frozen=True, slots=True)
class TimeReference:
    """What a question says about time.

    `spans` are the spans of the question that say it. With `earlier` the current session is
    excluded.
    """

    periods: tuple[Period, ...] = ()
    sessions: tuple[SessionRange, ...] = ()
    spans: tuple[Span, ...] = ()
    earlier: bool = False

    def __bool__(self) -> bool:
        """Return whether the question means a time."""
        return bool(self.periods or self.sessions)

    def without(self, question: str) -> str:
        """Return the question with its times replaced by spaces."""
        for start, end in self.spans:
            question = question[:start] + " " * (end - start) + question[end:]
        return question


def time_reference(
    question: str,
    today: date,
    languages: Iterable[str | None] = _ENGLISH,
    event_days: Mapping[Span, date] = MappingProxyType({}),
) -> TimeReference:
    """Return the times that a question means; none for a text too long to be a question.

    The question may be in any of the languages, or in English: people ask in English about
    conversations in other languages. `event_days` are the days of its `event_spans`.
    """
    for translated in _translations(question, languages):
        reference = _read(translated.text, _reader(translated, today, event_days))
        if reference:
            return replace(reference, spans=tuple(map(translated.source, reference.spans)))
    return TimeReference()


def event_spans(question: str, languages: Iterable[str | None] = _ENGLISH) -> tuple[Span, ...]:
    """Return the spans of a question that name an event to tell a time by it."""
    for translated in _translations(question, languages):
        spans = tuple(map(translated.source, _events(translated)))
        if spans:
            return spans
    return ()


def nearest_dates(
    text: str, said_on: date, languages: Iterable[str | None] = _ENGLISH
) -> list[date]:
    """Return the days that a text names by their number, as near as possible to when it was said.

    A number without a month ("the 29th") is the next such day.
    """
    for translated in _translations(text, languages):
        days = [*nearest_days(translated.text, said_on), *next_days(translated.text, said_on)]
        if days:
            return days
    return []


def _translations(question: str, languages: Iterable[str | None]) -> Iterator[Translation]:
    """Yield a question's translations from the languages, and last the question itself."""
    if len(question) > _MAX_CHARACTERS:
        return
    for language in languages:
        if language in LANGUAGES:
            yield translate(question, language)
    yield Translation.unchanged(question)


def _events(translated: Translation) -> Iterator[Span]:
    return find_events(translated.text, is_english=not translated.alignments)


def _reader(
    translated: Translation, today: date, event_days: Mapping[Span, date]
) -> ExpressionReader:
    """Return a reader of a translation, with the days of those events that have one."""
    spans = _events(translated) if event_days else ()
    days = {span: event_days.get(translated.source(span)) for span in spans}
    return ExpressionReader(
        translated.text, today, {span: day for span, day in days.items() if day}
    )


def _read(text: str, reader: ExpressionReader) -> TimeReference:
    sessions = find_sessions(text)
    session_spans = [match.span for match in sessions]
    periods = list(_periods(text, reader, session_spans))
    period_spans = [Span(start, _event_start(reader, start, match)) for start, match in periods]
    return TimeReference(
        tuple(match.period for _, match in periods),
        tuple(match.sessions for match in sessions),
        tuple(sorted([*period_spans, *session_spans])),
        earlier=_EARLIER.search(text) is not None,
    )


def _event_start(reader: ExpressionReader, start: int, match: PeriodMatch) -> int:
    """Return where the words of a time end: where its event begins, which is searched for."""
    return reader.event_start(Span(start, match.end))


def _periods(
    text: str, reader: ExpressionReader, taken: list[Span]
) -> Iterator[tuple[int, PeriodMatch]]:
    """Yield the periods outside the spans that are taken, each with where it begins."""
    at = 0
    while word := _WORD.search(text, at):
        start = word.start()
        taken_end = next((span.end for span in taken if span.start <= start < span.end), None)
        match = None if taken_end else reader.expression_at(start)
        if match is not None:
            yield start, match
        at = taken_end or (match.end if match else word.end())
