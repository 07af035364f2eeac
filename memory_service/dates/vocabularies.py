"""Readers of the data by which times of other languages are translated to English.

A vocabulary is the list of a language's words for times, each a pattern with its English. The rules
of `data/word_order.toml` then put the English words in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from memory_service.core.data_files import read_toml
from memory_service.dates.english import MONTHS, WEEKDAYS

UNRELATED = "_"
"""What stands for a word that has nothing to do with time."""

_PACKAGE = "memory_service.dates"
_FILES = {"de": "german.toml", "es": "spanish.toml", "ru": "russian.toml", "zh": "chinese.toml"}
_WITHOUT_SPACES = frozenset({"zh"})
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_NO_DIGITS = re.compile(r"\D")
_TEN = "十"
_SEVERAL = "几"
_SUNDAY = "日天"

LANGUAGES = frozenset(_FILES)
"""Languages other than English in which times are understood."""

_Field = Callable[[str], str]
"""Computes the value of a field of an English translation from the text that was matched."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A language's words for times.

    `pattern` matches any word or sign. Group number n+1 of it is the word with the English
    `english[n]`; none of the groups is any other word. English with a field in braces, such as
    `{number}`, is filled by `fields`.
    """

    pattern: re.Pattern[str]
    english: tuple[str, ...]
    fields: Mapping[str, _Field]

    def translate(self, match: re.Match[str]) -> str:
        """Return the English of a match; a sign between words is its own."""
        if match.lastindex is None:
            return UNRELATED if match[0].isalnum() else match[0]
        english = self.english[match.lastindex - 1]
        if "{" not in english:
            return english
        return _PLACEHOLDER.sub(lambda field: self.fields[field[1]](match[0]), english)


@dataclass(frozen=True, slots=True)
class WordOrderRule:
    """A named rule: `english`, filled by the groups, replaces English that the pattern matches."""

    name: str
    pattern: re.Pattern[str]
    english: str


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


@cache
def vocabulary(language: str) -> Vocabulary:
    """Return the vocabulary of one of the `LANGUAGES`."""
    data = read_toml(_PACKAGE, _FILES[language])
    fragments = {name: alternatives(listed) for name, listed in data.get("fragments", {}).items()}
    words = "|".join(f"({expanded(pattern, fragments)})" for pattern, _ in data["words"])
    if language in _WITHOUT_SPACES:
        pattern = rf"(?:{words})|\w|[^\w\s]"
    else:
        pattern = rf"(?<!\w)(?:{words})(?!\w)|\w+|[^\w\s]"
    return Vocabulary(
        re.compile(pattern), tuple(english for _, english in data["words"]), _fields(data)
    )


@cache
def word_order_rules() -> tuple[WordOrderRule, ...]:
    """Return the rules of English word order, in the order in which they are applied."""
    data = _word_order()
    fragments = {"month": alternatives(MONTHS), "weekday": alternatives(WEEKDAYS)}
    for name, listed in data["fragments"].items():
        fragments[name] = expanded(alternatives(listed), fragments)
    return tuple(
        WordOrderRule(
            rule["name"], re.compile(expanded(rule["pattern"], fragments)), rule["english"]
        )
        for rule in data["rules"]
    )


@cache
def words_without_time() -> frozenset[str]:
    """Return the English translations that mean no time by themselves."""
    return frozenset(_word_order()["no_time"])


@cache
def _word_order() -> dict[str, Any]:
    return read_toml(_PACKAGE, "word_order.toml")


def alternatives(expressions: list[str] | tuple[str, ...]) -> str:
    """Return an expression that matches what any of the expressions matches."""
    return f"(?:{'|'.join(expressions)})"


def expanded(pattern: str, fragments: Mapping[str, str]) -> str:
    """Return a pattern with the fragments in place of their names in braces."""
    return _PLACEHOLDER.sub(lambda name: fragments[name[1]], pattern)


def _fields(data: Mapping[str, Any]) -> dict[str, _Field]:
    """Return how the fields of a language's translations are computed."""
    fields: dict[str, _Field] = {"digits": partial(_NO_DIGITS.sub, "")}
    if "digits" in data:
        number = re.compile(alternatives(data["fragments"]["number"]))
        numerals = ChineseNumerals(data["digits"], data["units"], number)
        fields |= {
            "number": numerals.number,
            "unit": numerals.unit,
            "weekday": numerals.weekday,
            "month": numerals.month,
        }
    return fields
