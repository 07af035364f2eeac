"""Stop words: the words of a language that only its grammar needs ("the", "of").

Terms leave them out. The lists are in `data/stop_words.toml`.
"""

from __future__ import annotations

from functools import cache

from memory_service.core.data_files import read_toml
from memory_service.text.folding import without_accents


@cache
def stop_words(language: str | None) -> frozenset[str]:
    """Return a language's stop words, folded, with and without accents; none without a list."""
    words = _lists().get(language or "", "").split()
    return frozenset(words) | {without_accents(word) for word in words}


@cache
def _lists() -> dict[str, str]:
    return read_toml("memory_service.text", "stop_words.toml")
