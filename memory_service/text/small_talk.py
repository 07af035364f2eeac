"""Small talk: thanks, greetings, farewells, praise, agreement, laughter and apologies.

The words are in `data/small_talk.toml`. `phatic` words make a message small talk; `filler` words
often accompany them and carry no information of their own. A word that only repeats a sound
("hahaha", "jajaja", "mmm") counts as laughter in any language.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import regex  # type: ignore[import-untyped]

from memory_service.core.data_files import read_toml
from memory_service.text.terms import terms

_REPEATED_SOUND = re.compile(r"([^\W\d_]{1,3}?)\1{2,}[^\W\d_]?")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]")
_LETTERS = regex.compile(r"[\p{L}\p{N}]+")
_MARKS = ".,;:!?¡¿…\"'()~-*"


class Leftover(NamedTuple):
    """What small talk does not explain of a text, as terms, and whether it has any small talk."""

    terms: set[str]
    has_small_talk: bool


class _StrippedText(NamedTuple):
    """The words of a text that are left to compare, and whether small talk was removed."""

    words: list[str]
    has_small_talk: bool


@cache
def languages() -> frozenset[str]:
    """Return the languages that have a list of small talk; Chinese and Japanese need none."""
    return frozenset(_word_lists()["phatic"])


def leftover(text: str, language: str) -> Leftover:
    """Return what is left of a text without the small talk of one of the `languages`."""
    stripped = _strip(text)
    text_terms = set(terms(" ".join(stripped.words), language))
    phatic = stripped.has_small_talk or not text_terms.isdisjoint(_phatic_terms(language))
    return Leftover(text_terms - _small_talk_terms(language), phatic)


def _strip(text: str) -> _StrippedText:
    """Remove laughter and phrases of scripts without spaces."""
    words: list[str] = []
    has_small_talk = False
    for word in text.split():
        bare = word.strip(_MARKS).casefold()
        if _REPEATED_SOUND.fullmatch(bare):
            has_small_talk = True
        elif _UNSPACED.search(bare):
            rest = _strip_unspaced(bare)
            has_small_talk |= rest.has_small_talk
            words += rest.words
        else:
            words.append(word)
    return _StrippedText(words, has_small_talk)


def _strip_unspaced(text: str) -> _StrippedText:
    """Remove phrases from a text without spaces; only phatic ones are small talk."""
    rest = _unspaced_phrases("phatic").sub(" ", text)
    return _StrippedText(
        _LETTERS.findall(_unspaced_phrases("filler").sub(" ", rest)), has_small_talk=rest != text
    )


@cache
def _phatic_terms(language: str) -> frozenset[str]:
    return frozenset(terms(_word_lists()["phatic"][language], language))


@cache
def _small_talk_terms(language: str) -> frozenset[str]:
    filler = terms(_word_lists()["filler"][language], language)
    return _phatic_terms(language) | frozenset(filler)


@cache
def _unspaced_phrases(kind: str) -> re.Pattern[str]:
    """Return a pattern of the `phatic` or `filler` phrases, the longest first."""
    phrases = sorted(_word_lists()["unspaced"][kind].split(), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, phrases)))


@cache
def _word_lists() -> dict[str, Any]:
    return read_toml("memory_service.text", "small_talk.toml")
