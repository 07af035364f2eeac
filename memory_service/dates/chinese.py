"""Chinese numbers, units, weekdays and months, said in English. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from memory_service.dates.english import MONTHS, WEEKDAYS

_TEN = "十"
_SEVERAL = "几"
_SUNDAY = "日天"


@dataclass(frozen=True, slots=True)
class ChineseNumerals:
    """Reads what a text matched by the Chinese vocabulary says, by the tables of its data file.

    `digits` are the values of the characters, `units` the marks of English units, and `pattern`
    matches a number.
    """

    digits: Mapping[str, int]
    units: Mapping[str, str]
    pattern: re.Pattern[str]

    def number(self, text: str) -> str:
        """Return the first number of a text in digits; an indefinite one is "a few"."""
        return "a few" if _SEVERAL in text else str(self._value(text))

    def month(self, text: str) -> str:
        """Return the month of the first number of a text."""
        return MONTHS[(self._value(text) - 1) % len(MONTHS)]

    def weekday(self, text: str) -> str:
        """Return the weekday of the last character of a text."""
        return WEEKDAYS[6 if text[-1] in _SUNDAY else self.digits[text[-1]] - 1]

    def unit(self, text: str) -> str:
        """Return the unit whose mark a text contains; of several the first of the table."""
        return next(unit for mark, unit in self.units.items() if mark in text)

    def _value(self, text: str) -> int:
        """Return the value of a number below 100 in characters, or of one in digits."""
        match = self.pattern.search(text)
        if match is None:
            raise ValueError(f"{text!r} has no number")
        if match[0].isdigit():
            return int(match[0])
        tens, ten, ones = match[0].rpartition(_TEN)
        return (10 * self.digits.get(tens, 1) if ten else 0) + self.digits.get(ones, 0)
