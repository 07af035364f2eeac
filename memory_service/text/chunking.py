"""Cutting a turn's text into passages: the whole of a short turn, windows of a long one."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\S+")
_MAX_WORD_CHARS = 40
"""A longer unbroken run (base64, Chinese, a URL) counts as several words."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text, in characters."""

    start: int
    end: int


def windows(text: str, *, words: int, overlap: int) -> list[Window]:
    """Cut a text into windows of at most `words` words, neighbours sharing `overlap` of them.

    Text without a word has no window. `overlap` must be smaller than `words`.
    """
    if overlap >= words:
        raise ValueError(f"overlap ({overlap}) must be smaller than words ({words})")
    if len(text) // _MAX_WORD_CHARS + len(text.split()) <= words:
        # Most turns are short: what need not be cut need not be taken apart.
        end = len(text.rstrip())
        return [Window(end - len(text.strip()), end)] if end else []
    spans = _spans(text)
    if not spans:
        return []
    found: list[Window] = []
    first = 0
    while True:
        last = min(first + words, len(spans))
        found.append(Window(spans[first][0], spans[last - 1][1]))
        if last == len(spans):
            return found
        first = last - overlap


def passage_text(speaker: str, text: str, window: Window) -> str:
    """Return what is embedded and analysed: who says it, then the words."""
    return f"{speaker}: {text[window.start : window.end]}"


def _spans(text: str) -> list[tuple[int, int]]:
    return [
        (start, min(start + _MAX_WORD_CHARS, match.end()))
        for match in _WORD.finditer(text)
        for start in range(match.start(), match.end(), _MAX_WORD_CHARS)
    ]
