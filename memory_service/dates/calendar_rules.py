"""Calendar rules: English expressions that name a period by themselves, each with its arithmetic.

A rule is a pattern and a function that computes the period of a match. `today` is the day of the
question in the asker's time zone. A date without a year is the latest one that is not in the
future. Rules raise ValueError or OverflowError for what only looks like a date ("February 30th").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from memory_service.dates import periods
from memory_service.dates.english import (
    DAY_OF_MONTH,
    MONTH,
    NUMBER,
    UNIT,
    WEEKDAY,
    compiled,
    month_number,
    number_value,
    singular,
    weekday_number,
)
from memory_service.dates.holidays import holidays
from memory_service.dates.periods import DAY, Period

_LEAP_YEARS_APART = 8
"""The most years between two days of 29 February."""
_UNCOUNTED_DAYS = 7
"""From so many days on, a number of days is an estimate."""


class CalendarRule(NamedTuple):
    """A named pattern, and the period that its match means on a day."""

    name: str
    pattern: re.Pattern[str]
    period: Callable[[re.Match[str], date], Period]


class PeriodMatch(NamedTuple):
    """A period, and where in the text its expression ends."""

    period: Period
    end: int


def match_calendar_rule(text: str, at: int, today: date) -> PeriodMatch | None:
    """Return the period of the first rule that matches at a place of a text."""
    for rule in CALENDAR_RULES:
        match = rule.pattern.match(text, at)
        if match is not None:
            return PeriodMatch(rule.period(match, today), match.end())
    return None


def _latest_day(month: int, day: int, today: date) -> date:
    """Return the latest such day that is not in the future; 29 February is in a leap year."""
    for year in range(today.year, today.year - _LEAP_YEARS_APART - 1, -1):
        try:
            candidate = date(year, month, day)
        except ValueError:
            continue
        if candidate <= today:
            return candidate
    raise ValueError(f"no month {month} has a day {day}")


def _iso_date(match: re.Match[str], _today: date) -> Period:
    return periods.one_day(date.fromisoformat(match["date"]))


def _day_and_month(match: re.Match[str], today: date) -> Period:
    month, day = month_number(match["month"]), number_value(match["day"])
    if match["year"]:
        return periods.one_day(date(int(match["year"]), month, day))
    return periods.one_day(_latest_day(month, day, today))


def _units_ago(match: re.Match[str], today: date) -> Period:
    number, unit = number_value(match["number"]), singular(match["unit"])
    if unit == "month":
        return periods.months_before(today, number)
    if unit == "year":
        return periods.year_of(today.year - number)
    if unit == "day":
        return _days_ago(number, today)
    day = today - (14 if unit == "fortnight" else 7) * number * DAY
    if match["weekday"]:
        return _weekday_of_week(day, match["weekday"])
    return Period(day - 3 * DAY, day + 3 * DAY)


def _days_ago(number: int, today: date) -> Period:
    day = periods.one_day(today - number * DAY)
    wider = periods.extended(day, DAY) if number >= _UNCOUNTED_DAYS else None
    return day._replace(otherwise=wider)


def _weekday_of_last_week(match: re.Match[str], today: date) -> Period:
    return _weekday_of_week(today - 7 * DAY, match["weekday"])


def _weekday_of_week(day: date, weekday: str) -> Period:
    return periods.one_day(periods.monday_of(day) + weekday_number(weekday) * DAY)


def _unit_before_last(match: re.Match[str], today: date) -> Period:
    return _calendar_unit(singular(match["unit"]), 2, today)


def _near_unit(match: re.Match[str], today: date) -> Period:
    back = match["which"].casefold() != "this"
    return _calendar_unit(singular(match["unit"]), int(back), today)


def _calendar_unit(unit: str, back: int, today: date) -> Period:
    """Return the week, weekend, month or year that is so many of them before that of today."""
    if unit == "month":
        return periods.months_before(today, back)
    if unit == "year":
        return periods.year_of(today.year - back)
    monday = periods.monday_of(today) - 7 * back * DAY
    # A weekend begins on Friday.
    return Period(monday + (4 if unit == "weekend" else 0) * DAY, monday + 6 * DAY)


def _last_units(match: re.Match[str], today: date) -> Period:
    length = periods.duration(number_value(match["number"]), singular(match["unit"]))
    return Period(today - length, today)


def _over_last_unit(match: re.Match[str], today: date) -> Period:
    return Period(today - periods.duration(1, singular(match["unit"])), today)


def _weekday(match: re.Match[str], today: date) -> Period:
    back = (today.weekday() - weekday_number(match["day"])) % 7
    if back == 0 and match["which"].casefold() not in ("this", "on"):
        back = 7
    latest = periods.one_day(today - back * DAY)
    return latest._replace(otherwise=periods.shifted(latest, -7 * DAY))


def _holiday(match: re.Match[str], today: date) -> Period:
    holiday = next(holiday for name, holiday in holidays().items() if match[name])
    if match["year"]:
        return holiday.period(int(match["year"]))
    this_year = holiday.period(today.year)
    return this_year if this_year.first <= today else holiday.period(today.year - 1)


def _month(match: re.Match[str], today: date) -> Period:
    month, year = month_number(match["month"]), match["year"]
    return periods.month_of(date(int(year), month, 1) if year else _latest_day(month, 1, today))


def _yesterday(match: re.Match[str], today: date) -> Period:
    return periods.one_day(today - (2 if match["day_before"] else 1) * DAY)


def _other_day(_match: re.Match[str], today: date) -> Period:
    """Return some days that are not far back, or the month if there are no turns."""
    wider = Period(today - 30 * DAY, today - DAY)
    return Period(today - 10 * DAY, today - DAY, wider)


def _today(_match: re.Match[str], today: date) -> Period:
    return periods.one_day(today)


def _year(match: re.Match[str], _today: date) -> Period:
    return periods.year_of(int(match["year"]))


HOLIDAY_PATTERN = compiled(
    r"(?:last |this |the )?(?:"
    + "|".join(f"(?P<{holiday.name}>{holiday.pattern})" for holiday in holidays().values())
    + r")\b(?: holidays?)?(?:(?: of| in)?,? (?P<year>\d{4})\b)?"
)

DATE_RULES = (
    CalendarRule("iso_date", compiled(r"(?P<date>\d{4}-\d\d-\d\d)\b"), _iso_date),
    CalendarRule(
        "month_and_day",
        compiled(
            rf"(?P<month>{MONTH}) (?:the )?(?P<day>{DAY_OF_MONTH})\b(?:,? (?P<year>\d{{4}})\b)?"
        ),
        _day_and_month,
    ),
    CalendarRule(
        "day_and_month",
        compiled(
            rf"(?:the )?(?P<day>{DAY_OF_MONTH})(?: of)? (?P<month>{MONTH})"
            r"(?:(?:,| of)? (?P<year>\d{4})\b)?"
        ),
        _day_and_month,
    ),
)

CALENDAR_RULES = (
    *DATE_RULES,
    CalendarRule(
        "units_ago",
        compiled(
            rf"(?:(?:on )?(?:the )?(?P<weekday>{WEEKDAY}) )?"
            rf"(?P<number>{NUMBER}) (?P<unit>{UNIT}) ago\b"
        ),
        _units_ago,
    ),
    CalendarRule(
        "weekday_of_last_week",
        compiled(rf"(?:on )?(?:the )?(?P<weekday>{WEEKDAY}) (?:of )?last week\b"),
        _weekday_of_last_week,
    ),
    CalendarRule(
        "unit_before_last",
        compiled(r"(?:the )?(?P<unit>week|weekend|month|year) before last\b"),
        _unit_before_last,
    ),
    CalendarRule(
        "last_units",
        compiled(
            r"(?:(?:over|during|within|in) )?(?:the |this |these )?(?:last|past|previous) "
            rf"(?P<number>{NUMBER}) (?P<unit>{UNIT})\b"
        ),
        _last_units,
    ),
    CalendarRule(
        "over_last_unit",
        compiled(
            r"(?:(?:over|during|within) (?:the |this )?(?:last|past|previous)"
            r"|(?:this|the) (?:last|past)) (?P<unit>week|month|year)\b"
        ),
        _over_last_unit,
    ),
    CalendarRule(
        "near_unit",
        compiled(r"(?P<which>last|this|previous|the previous) (?P<unit>week(?:end)?|month|year)\b"),
        _near_unit,
    ),
    CalendarRule(
        "weekday",
        compiled(rf"(?:(?P<which>last|this past|past|this|on|on the) )(?P<day>{WEEKDAY})\b"),
        _weekday,
    ),
    CalendarRule("holiday", HOLIDAY_PATTERN, _holiday),
    CalendarRule(
        "month",
        compiled(rf"(?:(?:last|this|past) )?(?P<month>{MONTH})(?:(?: of)?,? (?P<year>\d{{4}})\b)?"),
        _month,
    ),
    CalendarRule(
        "yesterday",
        compiled(r"(?:(?P<day_before>the day before )?yesterday|last night)\b"),
        _yesterday,
    ),
    CalendarRule(
        "other_day",
        compiled(r"(?:just )?the other (?:day|night|evening|morning|week)\b"),
        _other_day,
    ),
    CalendarRule(
        "today",
        compiled(
            r"(?:(?:earlier )?(?:this (?:morning|afternoon|evening)|today)|tonight"
            r"|earlier (?:in the|this) (?:morning|afternoon|evening))\b"
        ),
        _today,
    ),
    CalendarRule(
        "year",
        compiled(
            r"(?:(?<=in |of )|(?<=mid-|mid )|(?<=early )|(?<=late )|the year )"
            r"(?P<year>(?:19|20)\d\d)\b"
        ),
        _year,
    ),
)
