"""Terms: the entries of the inverted index, taken from a text in any language.

Turns and queries use the same functions, so two texts match when they have an equal term.

- Words are folded: case and width do not matter. With a known language they are stemmed and its
  stop words are dropped. With `None` they are kept, because a wrong stemmer costs more than none.
- Accents of Latin and Greek letters are removed, so "café" and "cafe" match. The stemmer gets the
  accents where its suffix rules need them.
- Scripts without spaces between words, and Hangul, become bigrams of characters, where a character
  is a letter with its marks.
- Identifiers ("snake_case", "v1.2.3", "https://a.org/b") are kept whole and in parts.

Every function is linear in its text, accepts any `str` and may be called from many threads.
Terms are never empty and have at most `MAX_TERM_CHARACTERS` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import regex  # type: ignore[import-untyped]

from memory_service.text.folding import folded_word
from memory_service.text.scripts import INVISIBLE, UNSPACED
from memory_service.text.words import (
    MAX_TERM_CHARACTERS,
    fitting_term,
    identifier_term,
    word_terms,
)

ANALYSER_VERSION = 1
"""Raise it whenever the same text yields other terms, so that old indexes are derived again."""

MAX_IDENTIFIER_CHARACTERS = 256
"""Longer identifiers are read up to here: a URL is known by its start, encoded data may be long."""

# Same-length replacements, so that the patterns below need one spelling and offsets stay true:
# full-width ASCII, and the typographic apostrophes and hyphens.
_SAME_LENGTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord("\N{LEFT SINGLE QUOTATION MARK}"): "'",
    ord("\N{RIGHT SINGLE QUOTATION MARK}"): "'",
    ord("\N{MODIFIER LETTER APOSTROPHE}"): "'",
    ord("\N{HYPHEN}"): "-",
    ord("\N{NON-BREAKING HYPHEN}"): "-",
}

_WORD_HEAD = rf"[[\p{{L}}\p{{N}}]--{UNSPACED}]"
_LETTERS = rf"{_WORD_HEAD}[[\p{{L}}\p{{N}}\p{{M}}{INVISIBLE}]--{UNSPACED}]*+"
_WORD = rf"{_LETTERS}(?:'{_LETTERS})*+"
_JOINT = r"(?:://|::|\+\+|_++|[-./:@+&=?%~\#\\]|(?<=\d),(?=\d))"

# All quantifiers are possessive, which keeps matching linear: nothing is read twice.
_PIECE = regex.compile(
    rf"(?V1)(?P<run>{UNSPACED}++)|(?P<name>{_WORD}(?:{_JOINT}{_WORD})*+(?:\+\+|\#)?)"
)
# A thousands comma belongs to its number: "8,314" is the word "8314".
_PART = regex.compile(rf"(?V1)\d{{1,3}}(?:,\d{{3}})++(?![\p{{L}}\p{{N}}])|{_WORD}")
_HUMP = regex.compile(
    r"(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})|(?<=\p{L})(?=\p{N})|(?<=\p{N})(?=\p{L})"
)
_CHARACTER = regex.compile(r"\X")
_ACRONYM = regex.compile(r"\p{L}(?:\.\p{L})+")
_CHUNK = re.compile(r"\S+")
_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

_LocatedTerm = tuple[str, int, int]
"""A term and the half-open range of characters it was made from; a plain tuple for speed."""


class TermSpan(NamedTuple):
    """A term and the half-open range of characters of the original text that it stands for."""

    term: str
    start: int
    end: int


def terms(text: str, language: str | None) -> list[str]:
    """Return the index terms of a text in reading order, repetitions included.

    `language` is an ISO 639-1 code. One without a stemmer counts as None.
    """
    result: list[str] = []
    for chunk in text.split():
        result.extend(_chunk_terms(chunk, language))
    return result


def chunk_words(chunk: str, language: str | None) -> Iterator[tuple[str, str]]:
    """Yield the same terms as `terms` of a chunk without spaces, each with its word.

    The word is folded and has no possessive "'s".
    """
    for term, start, end in _read_chunk(chunk, language):
        word = chunk[start:end].translate(_SAME_LENGTH).casefold()
        yield term, word.removesuffix("'s")


def term_spans(text: str, language: str | None) -> list[TermSpan]:
    """Return the same terms as `terms`, each with the range of characters it stands for.

    The parts of an identifier follow the whole and lie inside it, so ranges may overlap.
    """
    return [
        TermSpan(term, chunk.start() + start, chunk.start() + end)
        for chunk in _CHUNK.finditer(text)
        for term, start, end in _read_chunk(chunk.group(), language)
    ]


def _chunk_terms(chunk: str, language: str | None) -> Iterable[str]:
    """Return the terms of a chunk, from the cache if it is short enough to be repeated."""
    if len(chunk) <= MAX_TERM_CHARACTERS:
        return _cached_chunk_terms(chunk, language)
    return [term for term, _, _ in _read_chunk(chunk, language)]


# Few words make up most of a text: most chunks have been seen before. About 10 MB when full.
@lru_cache(maxsize=32_768)
def _cached_chunk_terms(chunk: str, language: str | None) -> tuple[str, ...]:
    """Return the terms of a short chunk."""
    return tuple(term for term, _, _ in _read_chunk(chunk, language))


def _read_chunk(chunk: str, language: str | None) -> Iterator[_LocatedTerm]:
    """Yield the terms of text without spaces, with offsets from its start."""
    for piece in _PIECE.finditer(chunk.translate(_SAME_LENGTH)):
        if piece.lastgroup == "run":
            yield from _bigrams(piece.group(), piece.start())
        else:
            yield from _name_terms(piece.group(), piece.start(), language)


def _bigrams(run: str, start: int) -> Iterator[_LocatedTerm]:
    """Yield the overlapping pairs of characters of a run, or its only character."""
    characters = [(match.group(), match.start()) for match in _CHARACTER.finditer(run)]
    if len(characters) == 1:
        pairs = [(run, 0)]
    else:
        pairs = [(first + second, at) for (first, at), (second, _) in pairwise(characters)]
    for pair, at in pairs:
        for term in fitting_term(folded_word(pair)):
            yield term, start + at, start + at + len(pair)


def _name_terms(name: str, start: int, language: str | None) -> Iterator[_LocatedTerm]:
    """Yield the term of a plain word, or those of an identifier: the whole, then its parts."""
    parts = list(_PART.finditer(name, 0, MAX_IDENTIFIER_CHARACTERS))
    plain = len(parts) == 1 and len(parts[0].group()) == len(name)
    if not plain and len(name) <= MAX_TERM_CHARACTERS:
        for term in _whole_terms(name, language):
            yield term, start, start + len(name)
        if _ACRONYM.fullmatch(name):
            return
    for part in parts:
        yield from _part_terms(part.group(), start + part.start(), language)


def _whole_terms(name: str, language: str | None) -> tuple[str, ...]:
    """Return the term of an identifier as a whole, in one of its spellings.

    "U.S.A." is "usa"; "Wi-Fi" is the word "wifi"; a comma between digits is a decimal comma unless
    it groups thousands. Anything else is folded only.
    """
    if _ACRONYM.fullmatch(name):
        return identifier_term(name.replace(".", ""))
    joined = name.replace("-", "")
    if name[0].isalpha() and all(sign.isalnum() or sign == "'" for sign in joined):
        return word_terms(joined, language)
    return identifier_term(_THOUSANDS_COMMA.sub("", name).replace(",", "."))


def _part_terms(word: str, start: int, language: str | None) -> Iterator[_LocatedTerm]:
    """Yield the terms of a word, then those of the humps of a camelCase word."""
    if len(word) > MAX_TERM_CHARACTERS:
        return
    for term in word_terms(word, language):
        yield term, start, start + len(word)
    for begin, end in _humps(word):
        for term in word_terms(word[begin:end], language):
            yield term, start + begin, start + end


def _humps(word: str) -> list[tuple[int, int]]:
    """Return the ranges of the parts of "camelCase" or "mp3"; none for a word of one part.

    Parts with fewer than 2.5 letters on average are the noise of hashes, not names. A single letter
    ("v1") adds nothing to the whole.
    """
    if word.isalpha() and (word[1:].islower() or word.isupper()):
        return []
    bounds = [0, *(match.start() for match in _HUMP.finditer(word)), len(word)]
    ranges = list(pairwise(bounds))
    numbered = len(ranges) == 2 and not word.isalpha()
    if len(ranges) == 1 or not (numbered or 2 * len(word) >= 5 * len(ranges)):
        return []
    return [(begin, end) for begin, end in ranges if end - begin > 1 or word[begin].isdecimal()]
