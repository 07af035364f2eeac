"""Holidays and seasons: their English names, and their days in a year. Pure.

They are listed in `data/holidays.toml`; the date of Easter is computed by dateutil.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from dateutil.easter import EASTER_ORTHODOX, EASTER_WESTERN, easter  # type: ignore[import-untyped]

from memory_service.core.data_files import read_toml
from memory_service.dates.periods import DAY, Period, month_of

_EASTER_METHODS = {"western": EASTER_WESTERN, "orthodox": EASTER_ORTHODOX}


@dataclass(frozen=True, slots=True)
class Holiday:
    """A holiday or season; `rule` is its table of the data file."""

    name: str
    rule: dict[str, Any]

    @property
    def pattern(self) -> str:
        """The regular expression of its English name."""
        return str(self.rule["pattern"])

    @property
    def is_season(self) -> bool:
        """Whether it is a season."""
        return "months" in self.rule

    def period(self, year: int) -> Period:
        """Return its days in a year; raises ValueError for a year outside the calendar."""
        if self.is_season:
            return _season(year, *self.rule["months"])
        anchor = _anchor(self.rule, year)
        first, last = self.rule.get("days", (0, 0))
        return Period(anchor + first * DAY, anchor + last * DAY)


@cache
def holidays() -> dict[str, Holiday]:
    """Return the holidays and seasons by name, in the order in which their patterns are tried."""
    tables = read_toml("memory_service.dates", "holidays.toml")
    return {name: Holiday(name, table) for name, table in tables.items()}


def _season(year: int, first: int, last: int) -> Period:
    start = date(year - (first > last), first, 1)
    return Period(start, month_of(date(year, last, 1)).last)


def _anchor(rule: dict[str, Any], year: int) -> date:
    """Return the day of a year from which a holiday's days are counted."""
    if "easter" in rule:
        sunday: date = easter(year, _EASTER_METHODS[rule["easter"]])
        return sunday
    if "nth_weekday" in rule:
        return _nth_weekday(year, **rule["nth_weekday"])
    month, day = map(int, rule["date"].split("-"))
    return date(year, month, day)


def _nth_weekday(year: int, *, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + ((weekday - first.weekday()) % 7 + 7 * (nth - 1)) * DAY
