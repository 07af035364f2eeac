"""Events that a question names to tell a time by them: "the day after my exam". Pure."""

from __future__ import annotations

from collections.abc import Iterator

from memory_service.dates.english import (
    MONTH,
    NUMBER,
    ORDINAL,
    SOON,
    UNIT,
    WEEKDAY,
    compiled,
)
from memory_service.dates.holidays import holidays
from memory_service.text.spans import Span

_SEASON = r"(?:spring|summer|autumn|fall|winter)"
_HOLIDAYS = "|".join(holiday.pattern for holiday in holidays().values() if not holiday.is_season)

# "Around the house" and "look after the cat" are no times, "how many days after" asks for one, and
# "after practising" is a condition as often as a time.
_EVENT = compiled(
    rf"(?:(?:(?<!many )(?:{NUMBER} )?(?:{UNIT}|morning|evening)|{SOON}) "
    r"(?:before|after|following|prior to|leading up to|running up to)|run-?up to"
    r"|(?<!look )(?<!looks )(?<!looked )(?<!looking )(?<!take )(?<!takes )(?<!took )(?<!named )"
    r"(?P<conjunction>before|after|since|until)(?= (?:i|we|he|she|they)\b)"
    r"|around(?= (?:my|your|his|her|our|their|\w+'s) )"
    r"|\bthe (?:very )?(?:day|night|evening|morning)(?! (?:before|after|following|prior)\b)"
    r"(?: of| that| when|(?= (?:i|we|he|she|they|you|my|our|his|her|their)\b))) (?:the )?"
    r"(?P<event>(?!the\b|that\b|this\b|it\b|which\b|when\b|week\b|one\b)[^?.!;,]{0,79}[^?.!;,\s])"
)
# "The summer concert" is no season.
_DATE_START = compiled(
    rf"(?:{NUMBER} {UNIT}|{ORDINAL}|\d+|last|this|early|late|mid|beginning|start|middle|end"
    rf"|yesterday|today|{MONTH}|{WEEKDAY}|{_HOLIDAYS}|before|after|following|of|then|now"
    rf"|{_SEASON}(?=\W*$|[^\w ]| (?:of|in|and|or|i|we|you|he|she|they|did|with|for|at|on|last|this"
    r"|\d+)\b))\b"
)


def find_events(text: str, *, is_english: bool) -> Iterator[Span]:
    """Yield the spans of an English text that name events.

    `is_english` is false for a text that is a translation. Its words for "before" and "after" have
    other meanings ("vor dem Haus"), so that they need a unit or a time of day in front.
    """
    for match in _EVENT.finditer(text):
        if match["conjunction"] and not is_english:
            continue
        # A date, which the grammar reads by itself, is not an event.
        if not _DATE_START.match(text, match.start("event")):
            yield Span(*match.span("event"))
