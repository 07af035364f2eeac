"""Stretches of days, and those of holidays and seasons in a year. Pure; Easter is dateutil's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from dateutil.easter import EASTER_ORTHODOX, easter  # type: ignore[import-untyped]

_DAY = timedelta(days=1)


class Period(NamedTuple):
    """Days from the first to the last, both included.

    `otherwise` is what may be meant where nothing was said then: nobody counts 81 days exactly, and
    the last Saturday may be the last on which there was talk.
    """

    first: date
    last: date
    otherwise: Period | None = None


def _thanksgiving(year: int) -> Period:
    """Return the days around it in the United States, where it is the fourth Thursday."""
    first = date(year, 11, 1)
    thursday = first + timedelta(days=(3 - first.weekday()) % 7 + 21)
    return Period(thursday - 2 * _DAY, thursday + 3 * _DAY)


def _on(month: int, first: int, last: int | None = None) -> Callable[[int], Period]:
    return lambda year: Period(date(year, month, first), date(year, month, last or first))


def _of_easter(first: int, last: int | None = None) -> Callable[[int], Period]:
    """Return the days so far from Easter Sunday."""
    until = first if last is None else last
    return lambda year: Period(easter(year) + first * _DAY, easter(year) + until * _DAY)


def _of_orthodox_easter(first: int, last: int | None = None) -> Callable[[int], Period]:
    until = first if last is None else last

    def of_year(year: int) -> Period:
        sunday = easter(year, EASTER_ORTHODOX)
        return Period(sunday + first * _DAY, sunday + until * _DAY)

    return of_year


HOLIDAYS: dict[str, Callable[[int], Period]] = {
    r"christmas eve": _on(12, 24),
    r"christmas day": _on(12, 25),
    r"christmas": _on(12, 24, 26),
    r"boxing day": _on(12, 26),
    r"new year'?s eve": _on(12, 31),
    r"new year(?:'?s(?: day)?)?": _on(1, 1),
    r"valentine'?s(?: day)?": _on(2, 14),
    r"st\.? patrick'?s day": _on(3, 17),
    r"(?:the )?(?:fourth|4th) of july|independence day": _on(7, 4),
    r"hallowe'?en": _on(10, 31),
    r"thanksgiving(?: day)?": _thanksgiving,
    r"orthodox holy week": _of_orthodox_easter(-6, -1),
    r"orthodox easter week": _of_orthodox_easter(0, 7),
    r"orthodox easter": _of_orthodox_easter(0),
    r"orthodox pentecost": _of_orthodox_easter(49),
    r"maslenitsa": _of_orthodox_easter(-55, -49),
    r"carnival|mardi gras": _of_easter(-52, -47),
    r"ash wednesday": _of_easter(-46),
    r"palm sunday": _of_easter(-7),
    r"holy week": _of_easter(-7, 0),
    r"good friday": _of_easter(-2),
    r"easter monday": _of_easter(1),
    r"easter(?: sunday)?": _of_easter(0),
    r"ascension day": _of_easter(39),
    r"pentecost|whitsun": _of_easter(49),
    r"corpus christi": _of_easter(60),
    # 4 or 5 April, by the sun.
    r"qingming": _on(4, 4, 6),
    r"may day holidays": _on(5, 1, 5),
    r"national day of china": _on(10, 1, 7),
    r"spring": lambda year: Period(date(year, 3, 1), date(year, 5, 31)),
    r"summer": lambda year: Period(date(year, 6, 1), date(year, 8, 31)),
    r"autumn|fall": lambda year: Period(date(year, 9, 1), date(year, 11, 30)),
    r"winter": lambda year: Period(date(year - 1, 12, 1), date(year, 3, 1) - _DAY),
}
"""Pattern of a name, and the days of that holiday or season in a year; seasons are the north's."""
