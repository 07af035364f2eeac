"""The turns that were said at the time that a question means. Pure.

A session is a run of turns without a long pause. Conversations do not mark where a session ends,
but people count sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_service.core import clock
from memory_service.core.data_files import read_toml
from memory_service.core.models import MICROSECONDS, Turn
from memory_service.dates.expressions import TimeReference, nearest_dates, time_reference
from memory_service.dates.periods import DAY, Period
from memory_service.dates.sessions import SessionRange
from memory_service.text.terms import terms

SESSION_PAUSE_SECONDS = 30 * 60
"""The pause that web analytics counts visits by.

In six recorded conversations no turns that belong together are 15 minutes apart, and the sessions
of one day begin at least 56 minutes after the one before.
"""

_NEAR = timedelta(days=8)
"""How far the day that a turn names by a word may be from the day it was said."""

_FIRST_DAY = date(1970, 1, 2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Times = npt.NDArray[np.int64]
"""When turns were said, in microseconds since the epoch, in any order."""

TurnMask = npt.NDArray[np.bool_]
"""Which of the turns are selected."""


def is_only_time(
    question: str, reference: TimeReference, languages: Iterable[str | None] = ("en",)
) -> bool:
    """Return whether a question in one of the languages, or English, asks for a time alone."""
    rest = reference.without(question)
    spoken = {"en", *languages}
    return bool(reference) and any(
        _is_talk(rest, language) for language in _data()["talk"] if language in spoken
    )


def select_turns(reference: TimeReference, times: Times, now: datetime) -> TurnMask:
    """Return which of the turns were said at the time that is meant.

    `now` gives the time zone in which days are counted.
    """
    selected = np.zeros(len(times), dtype=np.bool_)
    for period in reference.periods:
        selected |= _within(period, times, now)
    if not len(times) or not (reference.sessions or reference.earlier):
        return selected
    numbers = _session_numbers(times)
    for sessions in reference.sessions:
        selected |= _in_sessions(sessions, numbers)
    current = numbers == numbers.max()
    earlier = selected & ~current
    return earlier if reference.earlier and earlier.any() else selected


def day_of(
    turn: Turn, utc_offset_minutes: int | None, languages: Sequence[str | None] = ("en",)
) -> date:
    """Return the day that a turn speaks of: the day it names, or else the day it was said."""
    said_on = clock.to_datetime(turn.created_at, utc_offset_minutes).date()
    if _tomorrow().search(turn.text):
        return said_on + DAY
    periods = time_reference(turn.text, said_on, languages).periods
    named = nearest_dates(turn.text, said_on, languages)
    near = [day for day in _single_days(periods) if abs(day - said_on) <= _NEAR]
    # "On Tuesday 13 August" is the 13th.
    return (named or near or [said_on])[0]


def _single_days(periods: Iterable[Period]) -> Iterator[date]:
    return (period.first for period in periods if period.first == period.last)


def _is_talk(text: str, language: str) -> bool:
    """Return whether a text consists of words about talk."""
    if language == "zh":
        return not set(filter(str.isalnum, text)) - _chinese_talk()
    return set(terms(text, language)) <= _talk_terms(language)


def _within(period: Period | None, times: Times, now: datetime) -> TurnMask:
    """Return the turns of a period; of the one that is meant otherwise, if it has none."""
    selected = np.zeros(len(times), dtype=np.bool_)
    while period is not None and not selected.any():
        first = _microseconds(period.first, now)
        after = _microseconds(period.last, now) + 24 * 3600 * MICROSECONDS
        selected = (times >= first) & (times < after)
        period = period.otherwise
    return selected


def _microseconds(day: date, now: datetime) -> int:
    """Return when a day begins; dates before the epoch are all the same."""
    start = datetime.combine(max(day, _FIRST_DAY), time(), now.tzinfo)
    return (start - _EPOCH) // timedelta(microseconds=1)


def _session_numbers(times: Times) -> npt.NDArray[np.int64]:
    """Return the session of each turn, counted from 1."""
    order = np.argsort(times, kind="stable")
    pauses = np.diff(times[order]) > SESSION_PAUSE_SECONDS * MICROSECONDS
    numbers = np.empty(len(times), dtype=np.int64)
    numbers[order] = 1 + np.concatenate(([0], np.cumsum(pauses)))
    return numbers


def _in_sessions(sessions: SessionRange, numbers: npt.NDArray[np.int64]) -> TurnMask:
    total = int(numbers.max())
    first, last = (number if number > 0 else total + 1 + number for number in sessions)
    return (numbers >= first) & (numbers <= last)


@cache
def _talk_terms(language: str) -> frozenset[str]:
    return frozenset(terms(_data()["talk"][language], language))


@cache
def _chinese_talk() -> frozenset[str]:
    return frozenset(_data()["talk"]["zh"])


@cache
def _tomorrow() -> re.Pattern[str]:
    words = dict(_data()["tomorrow"])
    unspaced = words.pop("zh")
    return re.compile(rf"\b(?:{'|'.join(words.values())})\b|{unspaced}", re.IGNORECASE)


@cache
def _data() -> dict[str, Any]:
    return read_toml("memory_service.dates", "talk.toml")
