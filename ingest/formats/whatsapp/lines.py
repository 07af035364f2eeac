"""The lines of WhatsApp's chats: date, time and speaker; and which number of a date is the day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

DateOrder = Literal["dmy", "mdy", "ymd"]

MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
"""Direction marks; WhatsApp puts some before lines, names and its own words."""

_NOON = r"[ap]\.?\s?m\.?|오전|오후|上午|下午|午前|午後|ص|م"
_AFTERNOON = ("p", "오후", "下午", "午後", "م")
_STAMP = (
    r"(?P<first>\d{1,4})(?P<dot>[./\-])\s?(?P<second>\d{1,2})(?P=dot)\s?(?P<third>\d{1,4})\.?,?\s"
    rf"(?:(?P<noon>{_NOON})\s?|klo\s|kl\.\s|um\s|à\s)?"
    r"(?P<hours>\d{1,2})[:.](?P<minutes>\d{2})(?:[:.](?P<seconds>\d{2}))?"
    rf"(?:\s?(?P<later_noon>{_NOON}))?"
)
_BRACKETED = re.compile(rf"[{MARKS}]*\[{_STAMP}\]\s?(?P<rest>.*)", re.IGNORECASE)
_DASHED = re.compile(rf"[{MARKS}]*{_STAMP}\s[-\u2013]\s(?P<rest>.*)", re.IGNORECASE)
_SPEAKER = re.compile(r"(?P<name>[^:\"“”„«»]{1,80}):(?:\s(?P<text>.*)|(?P<near>(?!//)\D.*)?)$")
# Words that a log file has where a chat has a name.
_LEVELS = frozenset({"debug", "info", "notice", "warn", "warning", "error", "critical", "fatal"})


@dataclass(frozen=True, slots=True)
class LineHead:
    """The beginning of a message's first line: three numbers of a date, a time, and the rest."""

    date: tuple[str, str, str]
    hour: int
    minute: int
    second: int
    has_noon: bool
    rest: str

    def day(self, order: DateOrder) -> tuple[int, int, int]:
        """Return (year, month, day); a year of two digits is of this century."""
        first, second, third = map(int, self.date)
        year, month, day = {
            "dmy": (third, second, first),
            "mdy": (third, first, second),
            "ymd": (first, second, third),
        }[order]
        return (year if year > 99 else year + 2000), month, day

    def time(self, order: DateOrder, zone: tzinfo) -> datetime | None:
        """Return the time in a zone; None if there is no such day or hour."""
        try:
            return datetime(*self.day(order), self.hour, self.minute, self.second, tzinfo=zone)
        except ValueError:
            return None

    def speaker_and_text(self) -> tuple[str, str] | None:
        """Return (speaker, text) of a message; None for a line that WhatsApp wrote."""
        match = _SPEAKER.match(self.rest)
        if match is None or match["name"].strip().casefold() in _LEVELS:
            return None
        name = match["name"].translate(dict.fromkeys(map(ord, MARKS)))
        return name.removeprefix("~").strip(), match["text"] or match["near"] or ""


class DetectedOrder(NamedTuple):
    """The order of the numbers in the dates of a file, and whether it is certain."""

    order: DateOrder
    is_certain: bool


def read_head(line: str) -> LineHead | None:
    """Return the head of a line; None if the line continues the message above."""
    match = _BRACKETED.match(line) or _DASHED.match(line)
    if match is None:
        return None
    hour, noon = int(match["hours"]), (match["noon"] or match["later_noon"] or "").casefold()
    if noon:
        hour = hour % 12 + (12 if noon.startswith(_AFTERNOON) else 0)
    return LineHead(
        date=(match["first"], match["second"], match["third"]),
        hour=hour,
        minute=int(match["minutes"]),
        second=int(match["seconds"] or 0),
        has_noon=bool(noon),
        rest=match["rest"],
    )


def detect_date_order(heads: Sequence[LineHead]) -> DetectedOrder:
    """Return the order of the numbers in dates.

    It is the order in which most dates exist. Of several, it is the one in which times run
    backwards least often. If several remain, a 12-hour clock with numbers of one digit is taken as
    American.
    """
    misfits = {order: _misfits(heads, order) for order in get_args(DateOrder)}
    fewest = min(misfits.values())
    best = [order for order, count in misfits.items() if count == fewest]
    if len(best) == 1:
        return DetectedOrder(best[0], is_certain=True)
    is_american = any(
        head.has_noon and len(head.date[0]) == 1 and len(head.date[2]) < 4 for head in heads
    )
    guess: DateOrder = "mdy" if is_american and "mdy" in best else best[0]
    return DetectedOrder(guess, is_certain=False)


def _misfits(heads: Sequence[LineHead], order: DateOrder) -> tuple[int, int]:
    """Return (dates that do not exist, days that run backwards); a year first has 4 digits."""
    is_year_first = [len(head.date[0]) > 2 for head in heads]
    wrong = sum(
        is_first != (order == "ymd") or not _exists(head.day(order))
        for head, is_first in zip(heads, is_year_first, strict=True)
    )
    back = sum(later.day(order) < earlier.day(order) for earlier, later in pairwise(heads))
    return wrong, back


def _exists(day: tuple[int, int, int]) -> bool:
    year, month, number = day
    return 1 <= month <= 12 and 1 <= number <= 31 and 1970 <= year <= 9999
