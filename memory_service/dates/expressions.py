"""Which time a question means: "last Tuesday", "the week after Easter", "two sessions ago". Pure.

Days are those of the asker's own zone, in which `today` must be given. A date without a year is the
latest that is past. Easter and calendar arithmetic are dateutil's. What its parser and others lack
is the grammar around a date (parts, offsets, ranges, sessions), which is what people write when
they ask for something that was said. It is the grammar of English; a question in German, Spanish,
Russian or Chinese is read by what its times are in English (`time_words`), and one in another
language means no time, and is ranked by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain, starmap
from types import MappingProxyType
from typing import NamedTuple

from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

from memory_service.dates import translation
from memory_service.dates.holidays import HOLIDAYS, Period
from memory_service.dates.translation import Rendered

_DAY = timedelta(days=1)
_SOON_DAYS = 10
"""How far "shortly after" reaches."""
_HALF_A_YEAR = timedelta(days=182)
_DAYS_OF_A_MONTH = 31
_UNCOUNTED_DAYS = 7
"""From so many days on, a number of days is not taken by its word."""
_MAX_CHARACTERS = 2_000
"""What is longer is a paste, not a question; its dates are its own."""


Span = tuple[int, int]
"""A stretch of a text: its first character, and the one after its last."""


class Sessions(NamedTuple):
    """Sessions from the first to the last, counted from 1; from the end where negative."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TimeReference:
    """What a question says about time.

    `spans` are the stretches of the question that say it. With `earlier` the session that is going
    on is not meant.
    """

    periods: tuple[Period, ...] = ()
    sessions: tuple[Sessions, ...] = ()
    spans: tuple[Span, ...] = ()
    earlier: bool = False

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.periods or self.sessions)

    def without(self, question: str) -> str:
        """Return the question with its time blanked out."""
        for start, end in self.spans:
            question = question[:start] + " " * (end - start) + question[end:]
        return question


_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {
    "a": 1,
    "an": 1,
    "a couple of": 2,
    "couple of": 2,
    "a few": 3,
    "few": 3,
    "thirty": 30,
} | {
    word: at
    for at, word in enumerate(
        (
            *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
            *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
            *("eighteen", "nineteen", "twenty"),
        ),
        1,
    )
}
_VAGUE = frozenset(("a few", "few", "a couple of", "couple of"))
_ORDINALS = {
    word: at
    for at, word in enumerate(
        (
            *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
            *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"),
            *("seventeenth", "eighteenth", "nineteenth", "twentieth"),
        ),
        1,
    )
}
_ORDINALS |= {
    f"{tens}{dash}{word}": ten + at
    for tens, ten in (("twenty", 20), ("thirty", 30), ("forty", 40))
    for dash in ("-", " ")
    for word, at in tuple(_ORDINALS.items())[:9]
} | {"thirtieth": 30, "fortieth": 40}


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_NUMBER = rf"(?:\d{{1,3}}|{_any(_NUMBERS)})"
_ORDINAL = rf"(?:\d{{1,3}}(?:st|nd|rd|th)|{_any(_ORDINALS)})"
_WEEKDAY = rf"(?:{_any(_WEEKDAYS)})"
# "may" and "march" are verbs too: as months they have a capital inside a sentence.
_MONTH = (
    rf"(?:{_any(set(_MONTHS) - {'may', 'march'})}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|(?<=[\w,] )(?-i:May|March))\b\.?"
)
_UNIT = r"(?:day|week|weekend|month|year|fortnight|night)s?"
_SESSION = r"(?:session|discussion|conversation|chat|meeting)"
_TO = r"(?:to|through|thru|until|till|and|-|\N{EN DASH})"


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_DAY_OF_MONTH = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{_any(_ORDINALS)})"
_DATE = _compiled(
    r"(?P<iso>\d{4}-\d\d-\d\d)\b"
    rf"|(?P<m>{_MONTH}) (?:the )?(?P<d>{_DAY_OF_MONTH})\b(?:,? (?P<y>\d{{4}})\b)?"
    rf"|(?:the )?(?P<d2>{_DAY_OF_MONTH})(?: of)? (?P<m2>{_MONTH})(?:(?:,| of)? (?P<y2>\d{{4}})\b)?"
)
_WHOLE_MONTH = _compiled(
    rf"(?:(?P<last>last|this|past) )?(?P<m>{_MONTH})(?:(?: of)?,? (?P<y>\d{{4}})\b)?"
)
_YEAR = _compiled(
    r"(?:(?<=in |of )|(?<=mid-|mid )|(?<=early )|(?<=late ))(?P<y>(?:19|20)\d\d)\b"
    r"|(?:the year )(?P<y2>(?:19|20)\d\d)\b"
)
_TODAY = _compiled(
    r"(?:(?:earlier )?(?:this (?:morning|afternoon|evening)|today)|tonight"
    r"|earlier (?:in the|this) (?:morning|afternoon|evening))\b"
)
_YESTERDAY = _compiled(r"(?:(?P<two>the day before )?yesterday|last night)\b")
_AGO = _compiled(
    rf"(?:(?:on )?(?:the )?(?P<weekday>{_WEEKDAY}) )?(?P<n>{_NUMBER}) (?P<unit>{_UNIT}) ago\b"
    rf"|(?:on )?(?:the )?(?P<weekday2>{_WEEKDAY}) (?:of )?(?P<n2>last) (?P<unit2>week)\b"
    r"|(?:the )?(?P<unit3>week|weekend|month|year) (?P<n3>before last)\b"
)
_TRAILING = _compiled(
    rf"(?:(?:over|during|within|in) )?(?:the |this |these )?(?:last|past|previous) "
    rf"(?P<n>{_NUMBER}) (?P<unit>{_UNIT})\b"
    rf"|(?:over|during|within) (?:the |this )?(?:last|past|previous) (?P<one>week|month|year)\b"
    r"|(?:this|the) (?:last|past) (?P<one2>week|month|year)\b"
)
_NEAR_UNIT = _compiled(
    r"(?P<which>last|this|previous|the previous) (?P<unit>week(?:end)?|month|year)\b"
)
_OTHER_DAY = _compiled(r"(?:just )?the other (?:day|night|evening|morning|week)\b")
_DAY_OF_WEEK = _compiled(rf"(?:(?P<last>last|this past|past|this|on|on the) )(?P<day>{_WEEKDAY})\b")
_HOLIDAY = _compiled(
    r"(?:last |this |the )?(?:"
    + "|".join(f"(?P<h{at}>{name})" for at, name in enumerate(HOLIDAYS))
    + r")\b(?: holidays?)?(?:(?: of| in)?,? (?P<y>\d{4})\b)?"
)
_PART = _compiled(
    r"(?:the )?(?P<part>early|late|mid|beginning|start|middle|end)[- ](?:(?:of|in) )?(?:the )?"
    rf"|(?:the )?(?P<which>{_any(tuple(_ORDINALS)[:5])}|last) "
    r"(?P<of>days?|night|week|weekend|half|part) (?:(?:of|in) )?(?:the )?"
)
_OFFSET = _compiled(
    rf"(?:on )?(?:the )?(?:(?P<n>{_NUMBER}) )?(?P<unit>{_UNIT}|morning|evening|{_WEEKDAY}) "
    r"(?P<way>before|after|following|prior to) (?:the )?"
)
_SOON = r"(?:shortly|soon|right|just|immediately|not long|(?:the )?days|(?:the )?weeks)"
_SHORTLY = _compiled(
    rf"(?:in )?{_SOON} (?P<way>before|after|following|prior to|leading up to|running up to) "
    r"(?:the )?"
    r"|(?:in )?the run-?up to (?:the )?"
)
_OPEN = _compiled(r"(?P<way>before|after|since|until|till|up to|by|prior to) (?:the )?")
_THE_DAY = _compiled(
    r"(?:on )?the (?:very )?(?:day|night|evening|morning)(?: of| that| when)? (?:the )?"
)
_BARE_DAY = _compiled(rf"\bon the (?P<d>\d{{1,2}}(?:st|nd|rd|th))\b(?! (?:of )?{_MONTH})")
_AROUND = _compiled(r"around (?:the )?")
_RANGE = _compiled(r"(?:between|from) (?:the )?")
_JOINT = _compiled(rf" ?,? ?{_TO} (?:the )?")
_YEAR_BEHIND = _compiled(r" (?P<which>last|this) year\b")
_THE_YEAR = _compiled(r"(?:new )?year\b")
_EVENT = _compiled(
    # "Around the house" and "look after the cat" are no times, "how many days after" asks for one,
    # and "after practising" is a condition as often as a time.
    rf"(?:(?:(?<!many )(?:{_NUMBER} )?(?:{_UNIT}|morning|evening)|{_SOON}) "
    r"(?:before|after|following|prior to|leading up to|running up to)|run-?up to"
    r"|(?<!look )(?<!looks )(?<!looked )(?<!looking )(?<!take )(?<!takes )(?<!took )(?<!named )"
    r"(?P<bare>before|after|since|until)(?= (?:i|we|he|she|they)\b)"
    r"|around(?= (?:my|your|his|her|our|their|\w+'s) )"
    r"|\bthe (?:very )?(?:day|night|evening|morning)(?! (?:before|after|following|prior)\b)"
    r"(?: of| that| when|(?= (?:i|we|he|she|they|you|my|our|his|her|their)\b))) (?:the )?"
    r"(?P<what>(?!the\b|that\b|this\b|it\b|which\b|when\b|week\b|one\b)[^?.!;,]{0,79}[^?.!;,\s])"
)
_SEASON = r"(?:spring|summer|autumn|fall|winter)"
_FEASTS = "|".join(name for name in HOLIDAYS if name.split("|")[0] not in _SEASON)
# "The summer concert" is no season.
_DATED = _compiled(
    rf"(?:{_NUMBER} {_UNIT}|{_ORDINAL}|\d+|last|this|early|late|mid|beginning|start|middle|end"
    rf"|yesterday|today|{_MONTH}|{_WEEKDAY}|{_FEASTS}|before|after|following|of|then|now"
    rf"|{_SEASON}(?=\W*$|[^\w ]| (?:of|in|and|or|i|we|you|he|she|they|did|with|for|at|on|last|this"
    r"|\d+)\b))\b"
)
_WORD_START = re.compile(r"\b\w")

_SESSIONS = (
    (_compiled(rf"(?P<n>{_NUMBER}) {_SESSION}s? ago\b"), lambda n: Sessions(-n, -n)),
    (
        _compiled(rf"(?:the |our )?(?:last|past|previous) (?P<n>{_NUMBER}) {_SESSION}s\b"),
        lambda n: Sessions(-n, -1),
    ),
    (
        _compiled(rf"(?:the |our )?(?:{_SESSION} before (?:the )?last|last but one {_SESSION})\b"),
        lambda: Sessions(-2, -2),
    ),
    (
        _compiled(
            rf"not (?:the |our )?last {_SESSION},? but the one before(?: that| it)?\b"
            rf"|the one before (?:the |our )?last {_SESSION}\b"
        ),
        lambda: Sessions(-2, -2),
    ),
    (
        _compiled(
            rf"(?:in |during )?(?:the |our )?(?:last|latest|previous|most recent) {_SESSION}\b"
            r"|(?:the )?last time(?! (?:i|he|she|they)\b)(?=\W*$| we\b| you and i\b)"
        ),
        lambda: Sessions(-1, -1),
    ),
    (
        _compiled(
            rf"(?:the |our )?(?P<n>{_ORDINAL})(?: {_SESSION})?s? (?:through|to|until|and) "
            rf"(?:the )?(?P<m>{_ORDINAL}) {_SESSION}s?\b"
        ),
        Sessions,
    ),
    (
        _compiled(rf"{_SESSION}s? (?P<n>\d{{1,3}}) ?{_TO} ?(?:{_SESSION} )?(?P<m>\d{{1,3}})\b"),
        Sessions,
    ),
    (
        _compiled(rf"(?:in |during )?(?:the |our )?(?:very )?(?P<n>{_ORDINAL}) {_SESSION}\b"),
        lambda n: Sessions(n, n),
    ),
    (_compiled(r"(?:in )?session (?P<n>\d{1,3})\b"), lambda n: Sessions(n, n)),
    (
        _compiled(r"(?:the )?(?:very )?first time we (?:talked|spoke|chatted|met)\b"),
        lambda: Sessions(1, 1),
    ),
)


def read(
    question: str,
    today: date,
    languages: Iterable[str | None] = ("en",),
    happened: Mapping[Span, date] = MappingProxyType({}),
) -> TimeReference:
    """Return the times that a question means; none for a text too long to be a question.

    It may be in any of the languages, or in English: people ask in English about talk that is not.
    `happened` is when its `events` were.
    """
    for one in _renderings(question, languages):
        known = {
            span: happened.get(one.source(*span))
            for span in _event_spans(one.text, in_english=not one.places)
        }
        reader = _Reader(one.text, today, {span: day for span, day in known.items() if day})
        found = _read_english(one.text, reader)
        if found:
            return replace(found, spans=tuple(starmap(one.source, found.spans)))
    return TimeReference()


def events(question: str, languages: Iterable[str | None] = ("en",)) -> tuple[Span, ...]:
    """Return where a question names what happened, to say a time by it: "the day after my exam"."""
    for one in _renderings(question, languages):
        found = tuple(
            one.source(*span) for span in _event_spans(one.text, in_english=not one.places)
        )
        if found:
            return found
    return ()


def nearest_dates(text: str, said: date, languages: Iterable[str | None] = ("en",)) -> list[date]:
    """Return the days that a text names by their number, as near to the day it was said as may be.

    "The 29th" is the next.
    """
    for one in _renderings(text, languages):
        reader = _Reader(one.text, said + _HALF_A_YEAR, {})
        found = list(chain(reader.dates(), _next_days(one.text, said)))
        if found:
            return found
    return []


def _next_days(text: str, said: date) -> Iterator[date]:
    for match in _BARE_DAY.finditer(text):
        day = _number(match["d"])
        if 1 <= day <= _DAYS_OF_A_MONTH:
            # In a shorter month it is the last.
            yield said + relativedelta(months=int(day < said.day), day=day)


def _renderings(question: str, languages: Iterable[str | None]) -> Iterator[Rendered]:
    """Yield a question as the grammar reads it; last as it is."""
    if len(question) > _MAX_CHARACTERS:
        return
    for language in languages:
        if language in translation.LANGUAGES:
            yield translation.in_english(question, language)
    yield Rendered.unchanged(question)


def _event_spans(text: str, *, in_english: bool) -> Iterator[Span]:
    for match in _EVENT.finditer(text):
        # Of the words for "before" and "after" others have more meanings: "vor dem Haus".
        if match["bare"] and not in_english:
            continue
        # What the grammar reads by itself is a date.
        if not _DATED.match(text, match.start("what")):
            yield match.span("what")


def _read_english(question: str, reader: _Reader) -> TimeReference:
    sessions = list(_sessions(question))
    taken = [span for _, span in sessions]
    periods: list[Period] = []
    spans: list[Span] = []
    at = 0
    while start := _WORD_START.search(question, at):
        at = start.start()
        inside = next((end for begin, end in taken if begin <= at < end), None)
        found = None if inside else reader.expression(at)
        if found is not None:
            periods.append(found[0])
            spans.append((at, min(found[1], reader.event_in(at, found[1]))))
        at = inside or (found[1] if found else _end_of_word(question, at))
    return TimeReference(
        tuple(periods),
        tuple(one for one, _ in sessions),
        tuple(sorted([*spans, *taken])),
        earlier=re.search(r"\bearlier\b", question, re.IGNORECASE) is not None,
    )


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and (text[at].isalnum() or text[at] == "_"):
        at += 1
    return at


def _sessions(question: str) -> Iterator[tuple[Sessions, tuple[int, int]]]:
    """Yield the sessions that a question counts, each stretch of it read once."""
    taken: list[tuple[int, int]] = []
    for pattern, make in _SESSIONS:
        for match in pattern.finditer(question):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            numbers = [_number(value) for value in match.groupdict().values()]
            yield make(*numbers), match.span()


def _number(word: str) -> int:
    folded = word.casefold()
    digits = re.match(r"\d+", folded)
    return int(digits[0]) if digits else _NUMBERS.get(folded) or _ORDINALS[folded]


Found = tuple[Period, int]
"""A period, and where in the text its expression ends."""


class _Reader:
    """A recursive descent over one question."""

    def __init__(self, text: str, today: date, happened: Mapping[Span, date]) -> None:
        self._text = text
        self._today = today
        self._happened = happened

    def event_in(self, start: int, end: int) -> int:
        """Return where in a stretch an event begins, whose words are looked for; else its end."""
        return min((first for first, _ in self._happened if start <= first < end), default=end)

    def expression(self, at: int) -> Found | None:
        """Return the longest expression that begins at a place."""
        for rule in (
            self._range,
            self._around,
            self._shortly,
            self._open,
            self._the_day,
            self._joined,
        ):
            try:
                found = rule(at)
            except (ValueError, OverflowError):
                # "February 30th", "9,000 years ago": it looks like a date and is none.
                continue
            # "After today" has no days yet.
            if found is not None and found[0].first <= found[0].last:
                return found
        return None

    def _range(self, at: int) -> Found | None:
        opening = _RANGE.match(self._text, at)
        return None if opening is None else self._both(opening.end())

    def _joined(self, at: int) -> Found | None:
        if self._event_at(at):
            # What happened is no time by itself.
            return None
        return self._both(at) or self._period(at)

    def _both(self, at: int) -> Found | None:
        one = self._period(at)
        joint = _JOINT.match(self._text, one[1]) if one else None
        two = self._period(joint.end()) if joint else None
        if one is None or two is None:
            return None
        first, last = one[0].first, two[0].last
        if last < first:
            # Both are the latest that is past, each for itself.
            first -= relativedelta(years=1)
        return Period(first, last), two[1]

    def _around(self, at: int) -> Found | None:
        opening = _AROUND.match(self._text, at)
        found = self._period(opening.end()) if opening else None
        if found is None:
            return None
        (first, last, _), end = found
        return Period(first - 3 * _DAY, last + 3 * _DAY), end

    def _shortly(self, at: int) -> Found | None:
        opening = _SHORTLY.match(self._text, at)
        found = self._period(opening.end()) if opening else None
        if opening is None or found is None:
            return None
        (first, last, _), end = found
        if (opening["way"] or "").casefold() in ("after", "following"):
            return Period(last + _DAY, last + _SOON_DAYS * _DAY), end
        return Period(first - _SOON_DAYS * _DAY, first - _DAY), end

    def _open(self, at: int) -> Found | None:
        opening = _OPEN.match(self._text, at)
        found = self._period(opening.end()) if opening else None
        if opening is None or found is None:
            return None
        (first, last, _), end = found
        if opening["way"].casefold() in ("before", "prior to"):
            return Period(date.min, first - _DAY), end
        if opening["way"].casefold() == "after":
            return Period(last + _DAY, self._today), end
        if opening["way"].casefold() == "since":
            return Period(first, self._today), end
        return Period(date.min, last), end

    def dates(self) -> Iterator[date]:
        """Yield the days that have a number and a month."""
        for match in _DATE.finditer(self._text):
            try:
                yield self._date(match).first
            except ValueError:
                # "February 30th".
                continue

    def _the_day(self, at: int) -> Found | None:
        """Return the day of an event."""
        opening = _THE_DAY.match(self._text, at)
        return self._event_at(opening.end()) if opening else None

    def _event_at(self, at: int) -> Found | None:
        return next(
            ((_day(day), end) for (start, end), day in self._happened.items() if start == at), None
        )

    def _period(self, at: int) -> Found | None:
        for rule in (self._offset, self._part, self._plain):
            found = rule(at)
            if found is not None:
                return self._in_named_year(*found)
        return None

    def _in_named_year(self, period: Period, end: int) -> Found:
        """Move a period without a year into "last year", if that follows."""
        behind = _YEAR_BEHIND.match(self._text, end)
        if behind is None:
            return period, end
        year = self._today.year - (behind["which"].casefold() == "last")
        years = relativedelta(years=year - period.first.year)
        return Period(period.first + years, period.last + years), behind.end()

    def _plain(self, at: int) -> Found | None:
        rules = (
            (_DATE, self._date),
            (_AGO, self._ago),
            (_TRAILING, self._trailing),
            (_NEAR_UNIT, self._near_unit),
            (_DAY_OF_WEEK, self._weekday),
            (_HOLIDAY, self._holiday),
            (_WHOLE_MONTH, self._month),
            (_YESTERDAY, self._yesterday),
            (_OTHER_DAY, self._other_day),
            (_TODAY, self._this_day),
            (_YEAR, self._year),
        )
        event = self._event_at(at)
        if event is not None:
            return event
        for pattern, make in rules:
            match = pattern.match(self._text, at)
            if match is not None:
                return make(match), match.end()
        return None

    def _date(self, match: re.Match[str]) -> Period:
        if match["iso"]:
            return _day(date.fromisoformat(match["iso"]))
        month, day = _month_number(match["m"] or match["m2"]), _number(match["d"] or match["d2"])
        year = match["y"] or match["y2"]
        if year:
            return _day(date(int(year), month, day))
        return _day(self._latest(month, day))

    def _latest(self, month: int, day: int) -> date:
        """Return the latest such day that is past; 29 February goes back to a leap year."""
        for year in range(self._today.year, self._today.year - 9, -1):
            try:
                found = date(year, month, day)
            except ValueError:
                continue
            if found <= self._today:
                return found
        raise ValueError(f"no month {month} has a day {day}")

    def _month(self, match: re.Match[str]) -> Period:
        month = _month_number(match["m"])
        first = date(int(match["y"]), month, 1) if match["y"] else self._latest(month, 1)
        return Period(first, first + relativedelta(months=1) - _DAY)

    def _year(self, match: re.Match[str]) -> Period:
        year = int(match["y"] or match["y2"])
        return Period(date(year, 1, 1), date(year, 12, 31))

    def _calendar_year(self) -> Period:
        return Period(date(self._today.year, 1, 1), date(self._today.year, 12, 31))

    def _this_day(self, _match: re.Match[str]) -> Period:
        return Period(self._today, self._today)

    def _yesterday(self, match: re.Match[str]) -> Period:
        day = self._today - (2 if match["two"] else 1) * _DAY
        return Period(day, day)

    def _other_day(self, _match: re.Match[str]) -> Period:
        """Return some days that are not far back, or the month where there was no talk."""
        wider = Period(self._today - 30 * _DAY, self._today - _DAY)
        return Period(self._today - 10 * _DAY, self._today - _DAY, wider)

    def _ago(self, match: re.Match[str]) -> Period:
        number = 1 if match["n2"] else 2 if match["n3"] else _number(match["n"])
        unit = _unit(match["unit"] or match["unit2"] or match["unit3"])
        weekday = match["weekday"] or match["weekday2"]
        if unit == "month":
            first = self._today.replace(day=1) - relativedelta(months=number)
            return Period(first, first + relativedelta(months=1) - _DAY)
        if unit == "year":
            year = self._today.year - number
            return Period(date(year, 1, 1), date(year, 12, 31))
        if unit == "day":
            day = self._today - number * _DAY
            wider = Period(day - _DAY, day + _DAY) if number >= _UNCOUNTED_DAYS else None
            return Period(day, day, wider)
        day = self._today - (14 if unit == "fortnight" else 7) * number * _DAY
        monday = day - day.weekday() * _DAY
        if weekday:
            return _day(monday + _WEEKDAYS.index(weekday.casefold()) * _DAY)
        if match["n3"]:
            return Period(monday + (4 if unit == "weekend" else 0) * _DAY, monday + 6 * _DAY)
        return Period(day - 3 * _DAY, day + 3 * _DAY)

    def _trailing(self, match: re.Match[str]) -> Period:
        one = match["one"] or match["one2"]
        number = 1 if one else _number(match["n"])
        return Period(self._today - _length(number, one or match["unit"]), self._today)

    def _near_unit(self, match: re.Match[str]) -> Period:
        back = match["which"].casefold() != "this"
        unit = match["unit"].casefold()
        monday = self._today - self._today.weekday() * _DAY - 7 * back * _DAY
        if unit == "week":
            return Period(monday, monday + 6 * _DAY)
        if unit == "weekend":
            return Period(monday + 4 * _DAY, monday + 6 * _DAY)
        if unit == "month":
            first = self._today.replace(day=1) - relativedelta(months=int(back))
            return Period(first, first + relativedelta(months=1) - _DAY)
        year = self._today.year - back
        return Period(date(year, 1, 1), date(year, 12, 31))

    def _weekday(self, match: re.Match[str]) -> Period:
        day = _WEEKDAYS.index(match["day"].casefold())
        back = (self._today.weekday() - day) % 7
        if back == 0 and match["last"].casefold() not in ("this", "on"):
            back = 7
        found, before = self._today - back * _DAY, self._today - (back + 7) * _DAY
        return Period(found, found, Period(before, before))

    def _holiday(self, match: re.Match[str]) -> Period:
        at = next(at for at in range(len(HOLIDAYS)) if match[f"h{at}"])
        of_year = tuple(HOLIDAYS.values())[at]
        if match["y"]:
            return of_year(int(match["y"]))
        found = of_year(self._today.year)
        return found if found.first <= self._today else of_year(self._today.year - 1)

    def _part(self, at: int) -> Found | None:
        opening = _PART.match(self._text, at)
        if opening is None:
            return None
        year = _THE_YEAR.match(self._text, opening.end())
        found = (self._calendar_year(), year.end()) if year else self._plain(opening.end())
        if found is None or found[0].first == found[0].last:
            return None
        part = (opening["part"] or opening["which"]).casefold()
        return _part(part, opening["of"], found[0].first, found[0].last), found[1]

    def _offset(self, at: int) -> Found | None:
        opening = _OFFSET.match(self._text, at)
        found = self._period(opening.end()) if opening else None
        if opening is None or found is None:
            return None
        (first, last, _), end = found
        if (last - first).days == 2 and _HOLIDAY.match(self._text, opening.end()):
            # A feast of three days is counted from the one in their midst.
            first = last = first + _DAY
        sign = -1 if opening["way"].casefold() in ("before", "prior to") else 1
        edge = last if sign > 0 else first
        unit = opening["unit"].casefold()
        if unit in _WEEKDAYS:
            day = edge + sign * _DAY
            while day.weekday() != _WEEKDAYS.index(unit):
                day += sign * _DAY
            return Period(day, day), end
        if opening["n"] and opening["n"].casefold() in _VAGUE:
            near, far = edge + sign * _DAY, edge + sign * 2 * _length(_number(opening["n"]), unit)
            return Period(min(near, far), max(near, far)), end
        if opening["n"]:
            day = edge + sign * _length(_number(opening["n"]), unit)
            slack = 0 if _unit(unit) == "day" else 3
            return Period(day - slack * _DAY, day + slack * _DAY), end
        if _unit(unit) in ("day", "night") or unit in ("morning", "evening"):
            return Period(edge + sign * _DAY, edge + sign * _DAY), end
        far = edge + sign * _length(1, unit)
        near = edge + sign * _DAY
        return Period(min(near, far), max(near, far)), end


def _day(day: date) -> Period:
    return Period(day, day)


def _part(part: str, of: str | None, first: date, last: date) -> Period:
    """Return a part of a period: a third, a half, a week of it, its first or last day."""
    days = (last - first).days + 1
    if of in ("day", "night"):
        return _day(last if part == "last" else first)
    if of == "half":
        middle = first + (days // 2) * _DAY
        return Period(first, middle - _DAY) if part == "first" else Period(middle, last)
    if of in ("week", "weekend"):
        start = last - 6 * _DAY if part == "last" else first + 7 * (_ORDINALS[part] - 1) * _DAY
        return Period(start, min(start + 6 * _DAY, last))
    return _third(part, first, last)


def _third(part: str, first: date, last: date) -> Period:
    """Return a third of a period; its beginning and its end are a month at most."""
    third = timedelta(days=max(1, ((last - first).days + 1) // 3))
    edge = min(third, timedelta(days=31))
    if part in ("early", "beginning", "start", "first"):
        return Period(first, first + (third if part == "early" else edge))
    if part in ("late", "end", "last"):
        return Period(last - (third if part == "late" else edge), last)
    return Period(first + third - _DAY, last - third + _DAY)


def _month_number(name: str) -> int:
    return 1 + next(at for at, month in enumerate(_MONTHS) if month[:3] == name.casefold()[:3])


def _unit(word: str) -> str:
    return word.casefold().removesuffix("s")


def _length(number: int, unit: str) -> relativedelta:
    """Return so many days, weeks, months or years."""
    name = _unit(unit)
    if name == "fortnight":
        return relativedelta(weeks=2 * number)
    if name in ("week", "month", "year"):
        return relativedelta(**{f"{name}s": number})
    return relativedelta(weeks=number) if name == "weekend" else relativedelta(days=number)
