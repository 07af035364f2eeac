"""Cut a turn's text into passages: the whole of a short turn, windows of a long one."""

from __future__ import annotations

import re

from memory_service.text.spans import Span

_WORD = re.compile(r"\S+")
_MAX_WORD_CHARACTERS = 40
"""A longer run without white space (base64, Chinese, a URL) counts as several words."""


def windows(text: str, *, words: int, overlap: int) -> list[Span]:
    """Return the windows of a text: spans of at most `words` words, from the start to the end.

    Consecutive windows share `overlap` words, which must be fewer than `words`. A text without
    words has no window.
    """
    if overlap >= words:
        raise ValueError(f"overlap ({overlap}) must be smaller than words ({words})")
    if len(text) // _MAX_WORD_CHARACTERS + len(text.split()) <= words:
        # Most turns are short and are one window: their words need not be located.
        end = len(text.rstrip())
        return [Span(end - len(text.strip()), end)] if end else []
    word_spans = _word_spans(text)
    step = words - overlap
    starts = range(0, max(len(word_spans) - overlap, 1), step) if word_spans else ()
    lasts = (min(start + words, len(word_spans)) - 1 for start in starts)
    return [
        Span(word_spans[start][0], word_spans[last][1])
        for start, last in zip(starts, lasts, strict=True)
    ]


def passage_text(speaker: str, text: str, span: Span) -> str:
    """Return the text of a passage as it is embedded and indexed: the speaker, then the span."""
    return f"{speaker}: {text[span.start : span.end]}"


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of the words, as plain tuples for speed."""
    return [
        (start, min(start + _MAX_WORD_CHARACTERS, match.end()))
        for match in _WORD.finditer(text)
        for start in range(match.start(), match.end(), _MAX_WORD_CHARACTERS)
    ]
