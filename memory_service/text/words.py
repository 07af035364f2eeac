"""The terms of a single word: folding, stop words, clitics, elided articles and stemming."""

# ruff: noqa: RUF001, RUF003 - letters of other scripts are intended

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from memory_service.core.data_files import read_toml
from memory_service.text.folding import folded_word, without_accents
from memory_service.text.stemming import stem
from memory_service.text.stop_words import stop_words

MAX_TERM_CHARACTERS = 64
"""Longer words are data (base64, hashes), not language, and no question contains them."""

_ENGLISH_CLITICS = frozenset({"d", "ll", "m", "re", "s", "ve"})
"""What English attaches to a word with an apostrophe. The negations are stop words."""

# Turkish pairs I with ı and İ with i. Unicode's default folding would give the stemmer other words.
_TURKISH_CASE: dict[int, Any] = str.maketrans({"I": "ı", "İ": "i"})


@lru_cache(maxsize=32_768)
def word_terms(word: str, language: str | None) -> tuple[str, ...]:
    """Return the terms of a word that may contain apostrophes; none for a stop word."""
    cased = word.translate(_TURKISH_CASE) if language == "tr" else word
    return _folded_word_terms(folded_word(cased), language)


def fitting_term(term: str) -> tuple[str, ...]:
    """Return the term, or nothing if it is empty or too long."""
    return (term,) if 0 < len(term) <= MAX_TERM_CHARACTERS else ()


def identifier_term(name: str) -> tuple[str, ...]:
    """Return an identifier as a term: folded, without accents, not stemmed."""
    return fitting_term(without_accents(folded_word(name)))


def _folded_word_terms(word: str, language: str | None) -> tuple[str, ...]:
    """Return the terms of a folded word.

    An apostrophe separates a clitic ("Anna's", "they'll") or an elided article ("l'amour"). Any
    other apostrophe is removed, and a longer tail is a term as well as the joined name ("obrien",
    "brien"), because people write both and because the language may be unknown.
    """
    if word in stop_words(language):
        return ()
    head, _, tail = word.rpartition("'")
    if not head:
        return fitting_term(stem(word.replace(",", ""), language))
    if tail == "s" or (language == "en" and tail in _ENGLISH_CLITICS):
        return _folded_word_terms(head, language)
    if head in _elisions(language):
        return _folded_word_terms(tail, language)
    joined = fitting_term(stem(word.replace("'", ""), language))
    return joined + _folded_word_terms(tail, language) if len(tail) > 2 else joined


@cache
def _elisions(language: str | None) -> frozenset[str]:
    """Return the words that a language shortens before a vowel; they are in `elisions.toml`."""
    lists = read_toml("memory_service.text", "elisions.toml")
    return frozenset(lists.get(language or "", "").split())
