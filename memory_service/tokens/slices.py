"""Texts as tokenizers can take them: well-formed, and in slices of a bounded length. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

SLICE_CHARS: Final = 16_384
"""Longest text that a tokenizer gets at once, in characters. tiktoken's pattern overflows its stack
at a run of 400,000 to a million blanks, and its panic is not an `Exception`."""

CUT_TOKENS: Final = 4
"""Added for each cut inside a word, whose two sides may have more tokens than the whole."""


def well_formed(text: str) -> str:
    """Return a text that UTF-8 can hold: halves of a surrogate pair are joined or replaced.

    JSON allows half a pair, and tokenizers refuse it.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def count_in_slices(text: str, count: Callable[[str], int], limit: int = SLICE_CHARS) -> int:
    """Return `count(text)`, asking for at most `limit` characters at a time.

    Tokenizers split between a word and the blank after it, so a cut there does not change the
    count. A text without such a place is cut anywhere, and `CUT_TOKENS` are added for each cut: the
    sum is at most a few tokens in 16,384 characters too high.
    """
    if len(text) <= limit:
        return count(text)
    return sum(count(piece) + (0 if clean else CUT_TOKENS) for piece, clean in _cut(text, limit))


def _cut(text: str, limit: int) -> Iterator[tuple[str, bool]]:
    """Yield consecutive pieces, and whether each one ends where tokenizers split."""
    start = 0
    while len(text) - start > limit:
        end, clean = _cut_at(text, start, start + limit)
        yield text[start:end], clean
        start = end
    yield text[start:], True


def _cut_at(text: str, start: int, end: int) -> tuple[int, bool]:
    """Return the last place in the piece's second half where a blank follows a word."""
    blank = text.rfind(" ", (start + end) // 2, end)
    if blank > start and not text[blank - 1].isspace():
        return blank, True
    return end, False
