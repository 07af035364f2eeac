"""Texts to store and queries to ask, the same for the same seed.

Without documents the texts are made of recombined sentences of the bundled conversation, with some
words replaced by invented ones. How often an invented word recurs, and how many there are after so
much text, follow the laws of real text (Zipf and Heaps), because the size of an inverted index and
the work of a query depend on them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

INVENTED_SHARE = 0.2
"""The share of the longer words of a sentence that is replaced."""
HEAPS_EXPONENT = 0.6
"""Of n invented words about n to this power are distinct; English texts have 0.4 to 0.7."""

_FIRST_WORDS = 50.0
_SENTENCE = re.compile(r"[^.!?]+[.!?]+")
_LONGER_WORD = re.compile(r"[A-Za-z]{5,}")
_WORD = re.compile(r"\w+")
_ONSETS = ("b", "br", "d", "f", "g", "k", "kl", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v")
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea", "ou")


def made_texts(rng: random.Random) -> Iterator[str]:
    """Yield chat turns of one to three sentences, without end."""
    sentences = _bundled_sentences()
    words = _InventedWords(rng)
    while True:
        chosen = (rng.choice(sentences) for _ in range(rng.randint(1, 3)))
        yield " ".join(_LONGER_WORD.sub(words.maybe_replace, sentence) for sentence in chosen)


def document_texts(paths: Sequence[Path], rng: random.Random) -> Iterator[str]:
    """Yield the texts of JSON lines with a `text`, drawn with replacement, without end.

    Raises ValueError if there are none.
    """
    texts = [
        text
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if (text := json.loads(line)["text"].strip())
    ]
    if not texts:
        raise ValueError(f"no texts in {', '.join(map(str, paths))}")
    while True:
        yield rng.choice(texts)


def query(texts: Sequence[str], rng: random.Random) -> str:
    """Return three to eight words of one of the texts, in their order."""
    while True:
        words = _WORD.findall(rng.choice(texts))
        if len(words) >= 3:
            kept = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(3, 8))))
            return " ".join(words[index] for index in kept)


class _InventedWords:
    """Invented words: the more often a word occurred, the more probable it is to recur."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._used: list[str] = []
        self._distinct = 0

    def maybe_replace(self, match: re.Match[str]) -> str:
        """Return the matched word, or an invented one instead."""
        return match[0] if self._rng.random() > INVENTED_SHARE else self._next()

    def _next(self) -> str:
        chance = (_FIRST_WORDS + HEAPS_EXPONENT * self._distinct) / (_FIRST_WORDS + len(self._used))
        if self._rng.random() < chance:
            self._distinct += 1
            word = self._invent()
        else:
            word = self._rng.choice(self._used)
        self._used.append(word)
        return word

    def _invent(self) -> str:
        syllables = self._rng.randint(2, 4)
        return "".join(
            self._rng.choice(_ONSETS) + self._rng.choice(_NUCLEI) for _ in range(syllables)
        )


def _bundled_sentences() -> list[str]:
    lines = (files("memory_service") / "bundled" / "quickstart.jsonl").read_text(encoding="utf-8")
    texts = (json.loads(line).get("content") for line in lines.splitlines())
    return [
        sentence.strip()
        for text in texts
        if isinstance(text, str)
        for sentence in _SENTENCE.findall(text)
    ]
