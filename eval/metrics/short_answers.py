"""Short answers as words: whether one occurs in a text, exact match, and F1. Pure.

Exact match and F1 are those of SQuAD (Rajpurkar et al., 2016): case, punctuation and English
articles do not count, and F1 is over the words that both have. Scripts without spaces are compared
character by character.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_NOT_WORD = re.compile(r"[\W_]+")
_ARTICLES = {"a", "an", "the"}
_UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f])")


def folded(text: str) -> str:
    """Return the words of a text in one case, without punctuation, with single blanks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_NOT_WORD.sub(" ", _UNSPACED.sub(r" \1 ", plain)).split())


def stands_in(answer: str, text: str) -> bool:
    """Return whether the words of an answer occur in a text, one after the other."""
    return f" {folded(answer)} " in f" {folded(text)} "


def exact_match(given: str, answer: str) -> float:
    """Return 1 if both are the same words, else 0."""
    return float(_words(given) == _words(answer))


def token_f1(given: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall of the answer's words in a given one."""
    given_words, answer_words = Counter(_words(given)), Counter(_words(answer))
    shared = (given_words & answer_words).total()
    if not given_words or not answer_words:
        return float(given_words == answer_words)
    return 2.0 * shared / (given_words.total() + answer_words.total())


def _words(text: str) -> list[str]:
    return [word for word in folded(text).split() if word not in _ARTICLES]
