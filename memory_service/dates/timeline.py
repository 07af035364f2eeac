"""Which turns were said at the time that a question means. Pure.

A session is talk without a long pause: nobody marks where one ends, but people count them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt

from memory_service.core import clock
from memory_service.core.models import MICROSECONDS, Turn
from memory_service.dates.expressions import Sessions, TimeReference, nearest_dates, read
from memory_service.dates.holidays import Period
from memory_service.text.terms import terms

SESSION_PAUSE_SECONDS = 30 * 60
"""As web analytics count visits. Of the turns of six recorded conversations none that belong
together are 15 minutes apart, and the sessions of one day begin 56 minutes after the last.
"""

_TALK = (
    "discuss discussed discussing discussion talk talked talking chat chatted conversation speak "
    "spoke spoken say said tell told mention mentioned cover covered session meeting topic topics "
    "thing things sort sorts kind kinds summarize summarise summary recap review remind go over "
    "happen happened subject subjects stuff everything anything list show give us please"
)
"""What a question about a time alone is made of; its subject is whatever was said then."""

_TALK_IN = {
    "en": _TALK,
    "de": (
        "besprechen besprochen reden geredet sprechen gesprochen sagen gesagt sagte erzählen "
        "erzählt erzählte berichten berichtet erwähnen erwähnt schreiben geschrieben gespräch "
        "thema themen worum ging gehen neues dinge sachen passiert passieren los war zuletzt "
        "etwas alles dir euch"
    ),
    "es": (
        "hablar hablamos hablé decir dije dijo dijimos contar conté contaste conversamos "
        "comentar comenté mencionar mencioné tema temas cosa cosas pasó pasar conversación "
        "nuevo noticias resumen resume ocurrió algo todo"
    ),
    "ru": (
        "говорить говорила говорил говорили рассказать рассказывала рассказывал рассказала "
        "рассказал обсуждать обсуждали обсудили писала писал разговор речь шла тема темы "
        "новый нового новости случилось произошло успела успел шло было тебе"
    ),
    "zh": (
        "聊天说过讲谈论讨告诉提到什么哪些事情东西话题内容发生跟你我们和的了是在有都啥些关于回顾一下"
    ),
}
"""By language; the Chinese by character."""
_TOMORROW = re.compile(r"\b(?:tomorrow|morgen|mañana|завтра)\b|明天", re.IGNORECASE)
_JUST = timedelta(days=8)
_CHINESE_TALK = frozenset(_TALK_IN["zh"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Times = npt.NDArray[np.int64]
"""When turns were said, in microseconds since the epoch, in any order."""


def is_only_time(
    question: str, reference: TimeReference, languages: Iterable[str | None] = ("en",)
) -> bool:
    """Return whether a question in one of the languages, or English, asks for a time alone."""
    rest = reference.without(question)
    known = [one for one in _TALK_IN if one == "en" or one in languages]
    return bool(reference) and any(_is_talk(rest, language) for language in known)


def _is_talk(text: str, language: str) -> bool:
    if language == "zh":
        # Its terms are pairs of characters, which cross the words.
        return not set(filter(str.isalnum, text)) - _CHINESE_TALK
    return set(terms(text, language)) <= set(terms(_TALK_IN[language], language))


def meant(reference: TimeReference, times: Times, now: datetime) -> npt.NDArray[np.bool_]:
    """Return which of the turns were said then; `now` gives the zone that days are counted in."""
    result = np.zeros(len(times), dtype=np.bool_)
    for period in reference.periods:
        result |= _within(period, times, now)
    if not len(times) or not (reference.sessions or reference.earlier):
        return result
    sessions = _sessions(times)
    for some in reference.sessions:
        result |= _counted(some, sessions)
    going_on = sessions == sessions.max()
    if reference.earlier and (result & ~going_on).any():
        result &= ~going_on
    return result


def day_of(
    turn: Turn, utc_offset_minutes: int | None, languages: Sequence[str | None] = ("en",)
) -> date:
    """Return the day that a turn speaks of: the one it names, else the day it was said."""
    said = clock.to_datetime(turn.created_at, utc_offset_minutes).date()
    if _TOMORROW.search(turn.text):
        return said + timedelta(days=1)
    periods = read(turn.text, said, languages).periods
    just = (period.first for period in periods if period.first == period.last)
    near = [day for day in just if abs(day - said) <= _JUST]
    named = nearest_dates(turn.text, said, languages)
    # "On Tuesday 13 August" is the 13th.
    return (named or near or [said])[0]


def _within(period: Period | None, times: Times, now: datetime) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(times), dtype=np.bool_)
    while period is not None and not found.any():
        first = _microseconds(period.first, now)
        after = _microseconds(period.last, now) + 24 * 3600 * MICROSECONDS
        found = (times >= first) & (times < after)
        period = period.otherwise
    return found


def _microseconds(day: date, now: datetime) -> int:
    """Return when a day begins; dates before the epoch are all the same."""
    day = max(day, date(1970, 1, 2))
    return (datetime.combine(day, time(), now.tzinfo) - _EPOCH) // timedelta(microseconds=1)


def _sessions(times: Times) -> npt.NDArray[np.int64]:
    """Return the session of each turn, counted from 1."""
    order = np.argsort(times, kind="stable")
    pauses = np.diff(times[order]) > SESSION_PAUSE_SECONDS * MICROSECONDS
    numbers = np.empty(len(times), dtype=np.int64)
    numbers[order] = 1 + np.concatenate(([0], np.cumsum(pauses)))
    return numbers


def _counted(some: Sessions, sessions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    total = int(sessions.max())
    first, last = (one if one > 0 else total + 1 + one for one in some)
    return (sessions >= first) & (sessions <= last)
