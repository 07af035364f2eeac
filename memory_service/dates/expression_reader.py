"""The grammar around a date: ranges, offsets, parts of a period, open ends and events. Pure.

It reads English text by recursive descent: an expression at a place of the text is made of a
prefix ("the week after", "early in") and a shorter expression, down to the calendar rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

from memory_service.dates import periods
from memory_service.dates.calendar_rules import (
    HOLIDAY_PATTERN,
    PeriodMatch,
    match_calendar_rule,
)
from memory_service.dates.english import (
    NUMBER,
    ORDINALS,
    SOON,
    TO,
    UNIT,
    VAGUE_NUMBERS,
    WEEKDAY,
    any_of,
    compiled,
    is_weekday,
    number_value,
    singular,
    weekday_number,
)
from memory_service.dates.periods import DAY, Period
from memory_service.text.spans import Span

_SOON_DAYS = 10
"""The length of "shortly after"."""
_AROUND_DAYS = 3
_BEFORE = ("before", "prior to")
_AFTER = ("after", "following")

_RANGE = compiled(r"(?:between|from) (?:the )?")
_JOINT = compiled(rf" ?,? ?{TO} (?:the )?")
_AROUND = compiled(r"around (?:the )?")
_SHORTLY = compiled(
    rf"(?:in )?(?:{SOON} (?P<side>before|after|following|prior to|leading up to|running up to)"
    r"|the run-?up to) (?:the )?"
)
_OPEN_END = compiled(r"(?P<side>before|after|since|until|till|up to|by|prior to) (?:the )?")
_DAY_OF_EVENT = compiled(
    r"(?:on )?the (?:very )?(?:day|night|evening|morning)(?: of| that| when)? (?:the )?"
)
_OFFSET = compiled(
    rf"(?:on )?(?:the )?(?:(?P<number>{NUMBER}) )?(?P<unit>{UNIT}|morning|evening|{WEEKDAY}) "
    r"(?P<side>before|after|following|prior to) (?:the )?"
)
_THIRD = compiled(
    r"(?:the )?(?P<third>early|late|mid|beginning|start|middle|end)[- ](?:(?:of|in) )?(?:the )?"
)
_COUNTED_PART = compiled(
    rf"(?:the )?(?P<which>{any_of(islice(ORDINALS, 5))}|last) "
    r"(?P<unit>days?|night|week|weekend|half|part) (?:(?:of|in) )?(?:the )?"
)
_CALENDAR_YEAR = compiled(r"(?:new )?year\b")
_NAMED_YEAR = compiled(r" (?P<which>last|this) year\b")


@dataclass(frozen=True, slots=True)
class ExpressionReader:
    """Reads the time expressions of one English text.

    `today` is the day of the question. `event_days` are the spans of the text that name an event,
    with the day it happened on.
    """

    text: str
    today: date
    event_days: Mapping[Span, date] = field(default_factory=dict)

    def expression_at(self, at: int) -> PeriodMatch | None:
        """Return the longest expression that begins at a place."""
        for read in (
            self._range,
            self._around,
            self._shortly,
            self._open_end,
            self._day_of_event,
            self._plain_range_or_period,
        ):
            try:
                expression = read(at)
            except (ValueError, OverflowError):
                # "February 30th", "9,000 years ago": it looks like a date but is not one.
                continue
            # "After today" has no days yet.
            if expression is not None and expression.period.first <= expression.period.last:
                return expression
        return None

    def event_start(self, span: Span) -> int:
        """Return where in a span an event begins, or else the end of the span."""
        starts = (event.start for event in self.event_days if span.start <= event.start < span.end)
        return min(starts, default=span.end)

    def _range(self, at: int) -> PeriodMatch | None:
        """Read "between May 4th and May 20th"."""
        opening = _RANGE.match(self.text, at)
        first = self._period(opening.end()) if opening else None
        return self._joined(first) if first else None

    def _plain_range_or_period(self, at: int) -> PeriodMatch | None:
        """Read "May 4th to May 20th", or a period alone."""
        if self._event_at(at):
            # An event is no time by itself.
            return None
        first = self._period(at)
        return (self._joined(first) or first) if first else None

    def _joined(self, first: PeriodMatch) -> PeriodMatch | None:
        """Return a period joined to the one behind it, if there is one: "… to May 20th"."""
        joint = _JOINT.match(self.text, first.end)
        second = self._period(joint.end()) if joint else None
        if second is None:
            return None
        start, end = first.period.first, second.period.last
        if end < start:
            # Each is the latest one that is not in the future.
            start -= relativedelta(years=1)
        return PeriodMatch(Period(start, end), second.end)

    def _around(self, at: int) -> PeriodMatch | None:
        """Read "around Easter"."""
        opening = _AROUND.match(self.text, at)
        center = self._period(opening.end()) if opening else None
        if center is None:
            return None
        return PeriodMatch(periods.extended(center.period, _AROUND_DAYS * DAY), center.end)

    def _shortly(self, at: int) -> PeriodMatch | None:
        """Read "shortly after Halloween" and "the run-up to Easter"."""
        opening = _SHORTLY.match(self.text, at)
        reference = self._period(opening.end()) if opening else None
        if opening is None or reference is None:
            return None
        (first, last, _), end = reference
        if (opening["side"] or "").casefold() in _AFTER:
            return PeriodMatch(Period(last + DAY, last + _SOON_DAYS * DAY), end)
        return PeriodMatch(Period(first - _SOON_DAYS * DAY, first - DAY), end)

    def _open_end(self, at: int) -> PeriodMatch | None:
        """Read "since February" and "before Easter"."""
        opening = _OPEN_END.match(self.text, at)
        reference = self._period(opening.end()) if opening else None
        if opening is None or reference is None:
            return None
        period = _open_ended(opening["side"].casefold(), reference.period, self.today)
        return PeriodMatch(period, reference.end)

    def _day_of_event(self, at: int) -> PeriodMatch | None:
        """Read "on the day of" an event."""
        opening = _DAY_OF_EVENT.match(self.text, at)
        return self._event_at(opening.end()) if opening else None

    def _event_at(self, at: int) -> PeriodMatch | None:
        for event, day in self.event_days.items():
            if event.start == at:
                return PeriodMatch(periods.one_day(day), event.end)
        return None

    def _period(self, at: int) -> PeriodMatch | None:
        """Read a period: an offset from another, a part of one, or one by itself."""
        for read in (self._offset, self._part, self._single):
            period = read(at)
            if period is not None:
                return self._in_named_year(period)
        return None

    def _single(self, at: int) -> PeriodMatch | None:
        return self._event_at(at) or match_calendar_rule(self.text, at, self.today)

    def _in_named_year(self, match: PeriodMatch) -> PeriodMatch:
        """Move a period without a year into "last year" or "this year", if that follows."""
        named = _NAMED_YEAR.match(self.text, match.end)
        if named is None:
            return match
        year = self.today.year - (named["which"].casefold() == "last")
        years = relativedelta(years=year - match.period.first.year)
        period = Period(match.period.first + years, match.period.last + years)
        return PeriodMatch(period, named.end())

    def _part(self, at: int) -> PeriodMatch | None:
        """Read "early in May", "the second half of July" and "the last night of October"."""
        third = _THIRD.match(self.text, at)
        opening = third or _COUNTED_PART.match(self.text, at)
        whole = self._whole(opening.end()) if opening else None
        if opening is None or whole is None or whole.period.first == whole.period.last:
            return None
        if third is not None:
            part = periods.third_of(whole.period, third["third"].casefold())
        else:
            part = _counted_part(opening["which"].casefold(), opening["unit"], whole.period)
        return PeriodMatch(part, whole.end)

    def _whole(self, at: int) -> PeriodMatch | None:
        """Read what a part belongs to: "the year" is the current one."""
        year = _CALENDAR_YEAR.match(self.text, at)
        if year is not None:
            return PeriodMatch(periods.year_of(self.today.year), year.end())
        return self._single(at)

    def _offset(self, at: int) -> PeriodMatch | None:
        """Read "two weeks before Easter" and "the Saturday after my exam"."""
        opening = _OFFSET.match(self.text, at)
        reference = self._period(opening.end()) if opening else None
        if opening is None or reference is None:
            return None
        period = reference.period
        if (period.last - period.first).days == 2 and HOLIDAY_PATTERN.match(
            self.text, opening.end()
        ):
            # Offsets from a holiday of three days are counted from the second.
            period = periods.one_day(period.first + DAY)
        direction = -1 if opening["side"].casefold() in _BEFORE else 1
        edge = period.last if direction > 0 else period.first
        offset = _offset_from(edge, direction, opening["number"], opening["unit"].casefold())
        return PeriodMatch(offset, reference.end)


def _open_ended(side: str, reference: Period, today: date) -> Period:
    """Return all days on one side of a period: until, or from it on until today."""
    first, last, _ = reference
    if side in _BEFORE:
        return Period(date.min, first - DAY)
    if side == "after":
        return Period(last + DAY, today)
    if side == "since":
        return Period(first, today)
    return Period(date.min, last)


def _counted_part(which: str, unit: str, whole: Period) -> Period:
    """Return a part of a period by its number, which may be "last"."""
    if unit in ("day", "night"):
        return periods.one_day(whole.last if which == "last" else whole.first)
    if unit == "half":
        return periods.half_of(whole, first=which == "first")
    if unit in ("week", "weekend"):
        return periods.week_of(whole, None if which == "last" else number_value(which))
    return periods.third_of(whole, which)


def _offset_from(edge: date, direction: int, number: str | None, unit: str) -> Period:
    """Return the period at a number of units, by default 1, from the edge of another period.

    `direction` is 1 for after the edge and -1 for before it.
    """
    adjacent = edge + direction * DAY
    if is_weekday(unit):
        return periods.one_day(
            periods.weekday_before_or_after(edge, weekday_number(unit), direction)
        )
    if number is not None:
        return _counted_offset(edge, direction, number, singular(unit))
    if singular(unit) in ("day", "night", "morning", "evening"):
        return periods.one_day(adjacent)
    return periods.between(adjacent, edge + direction * periods.duration(1, singular(unit)))


def _counted_offset(edge: date, direction: int, number: str, unit: str) -> Period:
    length = periods.duration(number_value(number), unit)
    if number.casefold() in VAGUE_NUMBERS:
        return periods.between(edge + direction * DAY, edge + direction * 2 * length)
    day = periods.one_day(edge + direction * length)
    # Weeks and months are not counted to the day.
    return day if unit == "day" else periods.extended(day, 3 * DAY)
