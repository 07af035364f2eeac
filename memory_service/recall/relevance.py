"""Stage 1, relevance: whether a message calls for memory at all. Pure.

A prompt without recalled turns is better than one with misleading ones. "Thanks!" and "Good
morning" match turns of any conversation, and ranking cannot tell that nothing was asked: its scores
only compare turns with each other. So the message itself is examined. It does not call for memory

* if nothing is left of it without the words of small talk, in any language;
* or if it is impersonal and
  - either has such words, asks nothing, has no number, and what is left of it was never said in the
    scope ("Danke, du bist ein Held!"),
  - or names nothing that occurs in the scope, and shares almost none of its weight with any passage
    ("Write a haiku about autumn").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache

import regex  # type: ignore[import-untyped]

from memory_service.core.data_files import read_toml
from memory_service.text import small_talk
from memory_service.text.small_talk import leftover

MIN_SHARED_WEIGHT = 0.1
"""Share of an impersonal message's word weights that the best passage must have.

Of 236 questions of the own evaluation set whose answer had been found, 20 lost it at 0.2, 11 at
0.15 and 3 at 0.1, because a paraphrase shares little with what it is about. Of its 34 messages that
do not call for memory, 25, 23 and 22 recalled nothing.
"""

MAX_SMALL_TALK_CHARACTERS = 300
"""Longer texts are not small talk; pasted text is not analysed in every language."""

_UNSPACED_LANGUAGES = frozenset({"ja", "zh"})
_NAME = re.compile(r"(?<=[\w,;:')] )[A-Z]\w+")
_ASKS_OR_COUNTS = regex.compile(r"[?？؟\p{N}]")  # noqa: RUF001 - other scripts


def calls_for_memory(
    text: str,
    languages: Collection[str | None],
    weights: Mapping[str, float],
    known_terms: Collection[str],
    best: float,
) -> bool:
    """Return whether a message asks for something that was said.

    `weights` are the inverse document frequencies of its terms in the scope, `known_terms` are
    those that occur there, and `best` is the highest BM25 score of any passage. The terms are those
    of the scope's `languages`.
    """
    if len(text) <= MAX_SMALL_TALK_CHARACTERS and _is_small_talk(text):
        return False
    spoken = {language for language in languages if language not in (None, "und")}
    if not spoken <= small_talk.languages() | _UNSPACED_LANGUAGES:
        return True
    listed = [language for language in languages if language in small_talk.languages()] or ["en"]
    if _is_personal(text, listed):
        return True
    leftovers = [leftover(text, language) for language in listed]
    left_terms = {term for rest in leftovers for term in rest.terms}
    has_small_talk = any(rest.has_small_talk for rest in leftovers)
    if has_small_talk and not _ASKS_OR_COUNTS.search(text) and left_terms.isdisjoint(known_terms):
        return False
    return _names_something(text, listed[0], known_terms) or _shares_weight(
        left_terms, weights, best
    )


def _is_small_talk(text: str) -> bool:
    """Return whether nothing is left of a text in any of the languages: its own is unknown."""
    return any(not leftover(text, language)[0] for language in small_talk.languages())


def _is_personal(text: str, languages: Collection[str]) -> bool:
    if _personal_unspaced().search(text):
        return True
    return any(_personal(language).search(text) for language in languages)


def _names_something(text: str, language: str, known_terms: Collection[str]) -> bool:
    names = {term for name in _NAME.findall(text) for term in leftover(name, language)[0]}
    return not names.isdisjoint(known_terms)


def _shares_weight(terms: Collection[str], weights: Mapping[str, float], best: float) -> bool:
    weight = sum(weights.get(term, 0.0) for term in terms)
    return weight > 0.0 and best / weight >= MIN_SHARED_WEIGHT


@cache
def _personal(language: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(_personal_words()[language])})\b", re.IGNORECASE)


@cache
def _personal_unspaced() -> re.Pattern[str]:
    return re.compile("|".join(_personal_words()["unspaced"]))


@cache
def _personal_words() -> dict[str, list[str]]:
    return read_toml("memory_service.recall", "personal_words.toml")
