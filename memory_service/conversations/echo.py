"""Echoes: recalled text that a model or a client sends back as part of its own text. Pure.

A model may quote what was recalled for it. If the quote were indexed, each recall would return more
copies of it. So the text is stored verbatim, and its echoes are not indexed. Their spans are in the
metadata of the turn, so that its passages can be derived again from the turn alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from memory_service.core.models import Metadata, NewTurn
from memory_service.items.fields import MAX_METADATA_VALUE_CHARS, check_metadata
from memory_service.prompts.recalled_block import BLOCK
from memory_service.text.chunking import windows
from memory_service.text.folding import folded
from memory_service.text.spans import Span

METADATA_KEY = "memory_echo"
"""The metadata with the spans of the echoes: `start-end` in characters, joined by commas."""

MIN_WORDS = 6
"""A shorter quote is not an echo: people repeat a few words without quoting."""

_MIN_REST_WORDS = 4
"""Text between echoes is indexed from this length on; shorter text is only an introduction, such as
"As you told me:"."""

_SPANS = re.compile(r"\d{1,9}-\d{1,9}(?:,\d{1,9}-\d{1,9})*")


def find_echoes(text: str, recalled: Iterable[str]) -> list[Span]:
    """Return the spans of a text that are a recalled block, or repeat one of the recalled texts."""
    spans = [Span(*match.span()) for match in BLOCK.finditer(text)]
    folded_text = folded(text)
    for quote in recalled:
        words = quote.split()
        # Most answers quote nothing, and compiling a pattern takes a millisecond.
        if len(words) >= MIN_WORDS and folded(quote) in folded_text:
            pattern = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
            spans += [Span(*match.span()) for match in pattern.finditer(text)]
    return _merged(spans)


def echo_metadata(spans: Sequence[Span]) -> dict[str, str]:
    """Return the metadata that marks echoes; spans that do not fit are joined to one."""
    if not spans:
        return {}
    value = ",".join(f"{span.start}-{span.end}" for span in spans)
    if len(value) > MAX_METADATA_VALUE_CHARS:
        value = f"{spans[0].start}-{spans[-1].end}"
    return {METADATA_KEY: value}


def with_echoes_marked(turn: NewTurn, recalled: Iterable[str], param: str) -> NewTurn:
    """Return a turn whose metadata marks its echoes; the turn itself if it has none.

    Raises InvalidRequest that names `param` if the metadata is full.
    """
    marks = echo_metadata(find_echoes(turn.text, recalled))
    if not marks:
        return turn
    metadata = check_metadata({**(turn.metadata or {}), **marks}, f"{param}.metadata")
    return replace(turn, metadata=metadata)


def indexed_spans(text: str, metadata: Metadata | None, *, words: int, overlap: int) -> list[Span]:
    """Return the spans of a turn's text that become passages: all of it except its echoes."""
    echoes = _from_metadata(metadata)
    if not echoes:
        return windows(text, words=words, overlap=overlap)
    starts = [0, *(echo.end for echo in echoes)]
    ends = [*(echo.start for echo in echoes), len(text)]
    return [
        Span(start + span.start, start + span.end)
        for start, end in zip(starts, ends, strict=True)
        if len(text[start:end].split()) >= _MIN_REST_WORDS
        for span in windows(text[start:end], words=words, overlap=overlap)
    ]


def _from_metadata(metadata: Metadata | None) -> list[Span]:
    """Return the echoes that metadata marks; a client may have set any value."""
    value = (metadata or {}).get(METADATA_KEY, "")
    if not _SPANS.fullmatch(value):
        return []
    pairs = (pair.split("-") for pair in value.split(","))
    return _merged(Span(int(start), int(end)) for start, end in pairs)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans by position; spans that touch or overlap are joined."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        elif span.end > span.start:
            merged.append(span)
    return merged
