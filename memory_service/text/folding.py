"""Folding: one spelling for texts and words that differ in case, width, digits or accents only."""

# ruff: noqa: RUF001 - letters of other scripts are intended

from __future__ import annotations

import re
import unicodedata

import regex  # type: ignore[import-untyped]

from memory_service.text.scripts import INVISIBLE

MAX_FOLDED_CHARACTERS = 128
"""Longer words fold to nothing: normalising a long run of marks takes quadratic time."""

# Letters that Unicode does not decompose, although people type them without the stroke; the one
# Cyrillic diacritic that Russians leave out; and the Arabic tatweel, which only lengthens a line.
_UNDECOMPOSED_LETTERS = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "ħ": "h",
        "ı": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ё": "е",
        "ـ": None,
    }
)
_INVISIBLE_CHARACTERS = re.compile(f"[{INVISIBLE}]+")
_ACCENTS = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}])\p{Mn}+|[\u0591-\u05BD\u05BF\u05C1\u05C2\u064B-\u0652\u0670]+"
)


def folded(text: str) -> str:
    """Return the form in which texts are compared: without differences of case and white space."""
    return " ".join(text.casefold().split())


def folded_word(word: str) -> str:
    """Return a word without differences of case, width and digits, and without invisible signs."""
    if word.isascii():
        return word.lower()
    if len(word) > MAX_FOLDED_CHARACTERS:
        return ""
    compatible = unicodedata.normalize("NFKC", word).casefold()
    visible = _INVISIBLE_CHARACTERS.sub("", unicodedata.normalize("NFKC", compatible))
    return "".join(_ascii_digit(sign) for sign in visible if not sign.isspace())


def without_accents(word: str) -> str:
    """Return a folded word without the accents that people leave out when they type."""
    if word.isascii():
        return word
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(_UNDECOMPOSED_LETTERS)


def _ascii_digit(sign: str) -> str:
    """Return the ASCII digit for a decimal digit of any script, any other character unchanged."""
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign
