"""Text that came out of a recalled block: it is kept verbatim, and not indexed a second time. Pure.

A model that quotes what was recalled for it would otherwise fill the index with copies, and each
recall would bring back more of them. Which stretches are echoes is in the turn's metadata, so that
passages can be derived again from the turn alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from memory_service.core.models import Metadata
from memory_service.items.conversation_items import MAX_METADATA_VALUE_CHARS
from memory_service.prompts.assembly import BLOCK
from memory_service.text.chunking import windows
from memory_service.text.folding import folded
from memory_service.text.spans import Span

METADATA_KEY = "memory_echo"
"""The stretches in characters, `start-end` each, joined by commas."""

MIN_WORDS = 6
"""A shorter text that occurs again was said again, as far as anybody can tell."""

_MIN_REST_WORDS = 4
"""What remains between echoes must be at least that long to say anything ("As you told me:")."""

_STRETCHES = re.compile(r"\d{1,9}-\d{1,9}(?:,\d{1,9}-\d{1,9})*")


def echoes(text: str, recalled: Iterable[str]) -> list[Span]:
    """Return the stretches of a text that repeat a recalled block or what was quoted in one."""
    found = [Span(*match.span()) for match in BLOCK.finditer(text)]
    plain = folded(text)
    for quoted in recalled:
        words = quoted.split()
        # Most answers quote nothing, and a pattern takes a millisecond to compile.
        if len(words) >= MIN_WORDS and folded(quoted) in plain:
            again = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
            found += [Span(*match.span()) for match in again.finditer(text)]
    return _merged(found)


def as_metadata(stretches: Sequence[Span]) -> dict[str, str]:
    """Return the metadata of a turn with these echoes; too many become one."""
    if not stretches:
        return {}
    value = ",".join(f"{one.start}-{one.end}" for one in stretches)
    if len(value) > MAX_METADATA_VALUE_CHARS:
        value = f"{stretches[0].start}-{stretches[-1].end}"
    return {METADATA_KEY: value}


def indexed_windows(
    text: str, metadata: Metadata | None, *, words: int, overlap: int
) -> list[Span]:
    """Cut a turn's text into the windows that are indexed: all of it but its echoes."""
    stretches = _from_metadata(metadata)
    if not stretches:
        return windows(text, words=words, overlap=overlap)
    begins = [0, *(one.end for one in stretches)]
    ends = [*(one.start for one in stretches), len(text)]
    return [
        Span(begin + one.start, begin + one.end)
        for begin, end in zip(begins, ends, strict=True)
        if len(text[begin:end].split()) >= _MIN_REST_WORDS
        for one in windows(text[begin:end], words=words, overlap=overlap)
    ]


def _from_metadata(metadata: Metadata | None) -> list[Span]:
    value = (metadata or {}).get(METADATA_KEY, "")
    if not _STRETCHES.fullmatch(value):
        return []
    pairs = (pair.split("-") for pair in value.split(","))
    return _merged(Span(int(start), int(end)) for start, end in pairs)


def _merged(stretches: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for one in sorted(stretches, key=lambda one: (one.start, one.end)):
        if found and one.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, one.end))
        elif one.end > one.start:
            found.append(one)
    return found
