"""Named days: the days that a text names by their number, near the day it was said. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

from memory_service.dates.calendar_rules import DATE_RULES, CalendarRule
from memory_service.dates.english import MONTH, compiled, number_value

_HALF_A_YEAR = timedelta(days=182)
_DAYS_OF_A_MONTH = 31
_BARE_DAY = compiled(rf"\bon the (?P<day>\d{{1,2}}(?:st|nd|rd|th))\b(?! (?:of )?{MONTH})")


class _DateMatch(NamedTuple):
    """A match of a date rule."""

    rule: CalendarRule
    match: re.Match[str]


def nearest_days(text: str, day: date) -> Iterator[date]:
    """Yield the days that a text names by number and month, as near to a day as possible."""
    for rule, match in _date_matches(text):
        try:
            yield rule.period(match, day + _HALF_A_YEAR).first
        except ValueError:
            # "February 30th".
            continue


def next_days(text: str, day: date) -> Iterator[date]:
    """Yield the days that a text names by their number alone ("on the 29th"), after a day."""
    for match in _BARE_DAY.finditer(text):
        number = number_value(match["day"])
        if 1 <= number <= _DAYS_OF_A_MONTH:
            # In a shorter month it is the last day.
            yield day + relativedelta(months=int(number < day.day), day=number)


def _date_matches(text: str) -> Iterator[_DateMatch]:
    """Yield the matches of the date rules from left to right, without overlaps."""
    upcoming = list(_searched(text, 0, DATE_RULES))
    while upcoming:
        current = min(upcoming, key=_place)
        yield current
        end = current.match.end()
        passed = [hit.rule for hit in upcoming if hit.match.start() < end]
        ahead = [hit for hit in upcoming if hit.match.start() >= end]
        upcoming = [*ahead, *_searched(text, end, passed)]


def _searched(text: str, start: int, rules: Iterable[CalendarRule]) -> Iterator[_DateMatch]:
    """Yield the first match of each rule from a place of the text on, where there is one."""
    for rule in rules:
        match = rule.pattern.search(text, start)
        if match is not None:
            yield _DateMatch(rule, match)


def _place(hit: _DateMatch) -> tuple[int, int]:
    """Return where a match begins; of two at the same place, that of the first rule counts."""
    return hit.match.start(), DATE_RULES.index(hit.rule)
