"""Stemming: the inflected forms of a word reduced to one stem, by the Snowball stemmers."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import Stemmer

from memory_service.text.folding import without_accents

STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""The name of the Snowball stemmer of each language, by its ISO 639-1 code."""

_ACCENTS_BEFORE_STEMMING = frozenset({"de", "en", "id", "nl"})
"""Languages in which accents are foreign or optional and no suffix rule needs them.

They are removed before stemming, so that "cafés" and "cafes" reach the stemmer alike.
"""

# A stemmer has internal state and must not be called by two threads at once. One lock for all
# stemmers is enough: it is taken only for words that are not cached.
_STEMMER_LOCK = threading.Lock()


def stem(word: str, language: str | None) -> str:
    """Return the stem of a folded word without accents; the word itself without a stemmer."""
    if language not in STEMMERS:
        return without_accents(word)
    spelling = without_accents(word) if language in _ACCENTS_BEFORE_STEMMING else word
    with _STEMMER_LOCK:
        stemmed: str = _stemmer(language).stemWord(spelling)
    return without_accents(stemmed) or without_accents(word)


@cache
def _stemmer(language: str) -> Any:
    """Return the stemmer of a language, without its own cache; call with `_STEMMER_LOCK` held."""
    return Stemmer.Stemmer(STEMMERS[language], 0)
