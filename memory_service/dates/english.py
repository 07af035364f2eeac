"""English words of times: their values, and the fragments of patterns that match them. Pure.

The words are in `data/english.toml`. The fragments are for patterns that ignore case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from memory_service.core.data_files import read_toml

_WORDS = read_toml("memory_service.dates", "english.toml")

MONTHS: tuple[str, ...] = tuple(_WORDS["months"])
WEEKDAYS: tuple[str, ...] = tuple(_WORDS["weekdays"])
"""Names in their order, with a capital; Monday is the first weekday."""

NUMBERS: dict[str, int] = _WORDS["numbers"]
ORDINALS: dict[str, int] = _WORDS["ordinals"] | {
    f"{tens}{joint}{ordinal}": value + unit
    for tens, value in _WORDS["tens"].items()
    for ordinal, unit in _WORDS["ordinals"].items()
    if unit < 10
    for joint in "- "
}
VAGUE_NUMBERS = frozenset(_WORDS["vague_numbers"])

_FOLDED_WEEKDAYS = tuple(name.casefold() for name in WEEKDAYS)
_MONTH_HEADS = tuple(name[:3].casefold() for name in MONTHS)
_DIGITS = re.compile(r"\d+")


def any_of(words: Iterable[str]) -> str:
    """Return alternatives of a pattern that match words, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern that ignores case."""
    return re.compile(pattern, re.IGNORECASE)


NUMBER = rf"(?:\d{{1,3}}|{any_of(NUMBERS)})"
ORDINAL = rf"(?:\d{{1,3}}(?:st|nd|rd|th)|{any_of(ORDINALS)})"
DAY_OF_MONTH = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{any_of(ORDINALS)})"
WEEKDAY = rf"(?:{any_of(WEEKDAYS)})"
MONTH = (
    rf"(?:{any_of(name for name in MONTHS if name not in _WORDS['ambiguous_months'])}"
    rf"|{'|'.join(_WORDS['month_abbreviations'])}"
    rf"|(?<=[\w,] )(?-i:{any_of(_WORDS['ambiguous_months'])}))\b\.?"
)
UNIT = rf"(?:{any_of(_WORDS['units'])})s?"
CONVERSATION = rf"(?:{any_of(_WORDS['conversations'])})"
TO = r"(?:to|through|thru|until|till|and|-|\N{EN DASH})"
SOON = r"(?:shortly|soon|right|just|immediately|not long|(?:the )?days|(?:the )?weeks)"


def number_value(word: str) -> int:
    """Return the value of a number or an ordinal, in digits or words; ValueError for others."""
    folded = _folded(word)
    digits = _DIGITS.match(folded)
    if digits:
        return int(digits[0])
    value = NUMBERS.get(folded) or ORDINALS.get(folded)
    if value is None:
        raise ValueError(f"{word!r} is no number")
    return value


def month_number(name: str) -> int:
    """Return the number of a month from 1; its name may be abbreviated."""
    return 1 + _MONTH_HEADS.index(_folded(name)[:3])


def is_weekday(word: str) -> bool:
    """Return whether a word is the name of a weekday."""
    return _folded(word) in _FOLDED_WEEKDAYS


def weekday_number(name: str) -> int:
    """Return the number of a weekday, with 0 for Monday."""
    return _FOLDED_WEEKDAYS.index(_folded(name))


def singular(unit: str) -> str:
    """Return a unit in the singular, in small letters."""
    return _folded(unit).removesuffix("s")


def _folded(word: str) -> str:
    """Return a word in the spelling of the data file, for any that a pattern matches.

    A pattern that ignores case takes the Turkish dotless "i" for an "i".
    """
    return word.casefold().replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
