"""Periods: ranges of days, and the arithmetic of days, weeks, months and years on them. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

DAY = timedelta(days=1)
_LONGEST_EDGE = timedelta(days=31)
"""The beginning and the end of a period are a month at most."""


class Period(NamedTuple):
    """Days from the first to the last, both included.

    `otherwise` is the period that is meant if there are no turns in this one: people do not count
    81 days exactly, and "last Saturday" may be the last one with a conversation.
    """

    first: date
    last: date
    otherwise: Period | None = None


def one_day(day: date) -> Period:
    """Return the period of a single day."""
    return Period(day, day)


def month_of(first: date) -> Period:
    """Return the month that begins on a day."""
    return Period(first, first + relativedelta(months=1) - DAY)


def months_before(day: date, months: int) -> Period:
    """Return the month that is a number of months before that of a day."""
    return month_of(day.replace(day=1) - relativedelta(months=months))


def year_of(year: int) -> Period:
    """Return a calendar year."""
    return Period(date(year, 1, 1), date(year, 12, 31))


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - day.weekday() * DAY


def weekday_before_or_after(day: date, weekday: int, direction: int) -> date:
    """Return the nearest such weekday after a day (direction 1) or before it (-1), not itself."""
    days = (direction * (weekday - day.weekday()) - 1) % 7 + 1
    return day + direction * days * DAY


def shifted(period: Period, days: timedelta) -> Period:
    """Return a period moved by some days."""
    return Period(period.first + days, period.last + days)


def extended(period: Period, days: timedelta) -> Period:
    """Return a period that begins some days earlier and ends as many later."""
    return Period(period.first - days, period.last + days)


def between(day: date, other: date) -> Period:
    """Return the period from the earlier of two days to the later."""
    return Period(min(day, other), max(day, other))


def half_of(period: Period, *, first: bool) -> Period:
    """Return the first or the second half of a period."""
    middle = period.first + _days(period) // 2 * DAY
    return Period(period.first, middle - DAY) if first else Period(middle, period.last)


def week_of(period: Period, number: int | None) -> Period:
    """Return the numbered week of a period, counted from its first day; None is its last week."""
    start = period.last - 6 * DAY if number is None else period.first + 7 * (number - 1) * DAY
    return Period(start, min(start + 6 * DAY, period.last))


def third_of(period: Period, name: str) -> Period:
    """Return a third of a period by its name, such as "early", "middle", "end" or "first"."""
    first, last, _ = period
    third = timedelta(days=max(1, _days(period) // 3))
    edge = min(third, _LONGEST_EDGE)
    if name in ("early", "beginning", "start", "first"):
        return Period(first, first + (third if name == "early" else edge))
    if name in ("late", "end", "last"):
        return Period(last - (third if name == "late" else edge), last)
    return Period(first + third - DAY, last - third + DAY)


def duration(number: int, unit: str) -> relativedelta:
    """Return the length of a number of units (in the singular); below a week it is in days."""
    if unit == "fortnight":
        return relativedelta(weeks=2 * number)
    if unit in ("week", "month", "year"):
        return relativedelta(**{f"{unit}s": number})
    return relativedelta(weeks=number) if unit == "weekend" else relativedelta(days=number)


def _days(period: Period) -> int:
    return (period.last - period.first).days + 1
