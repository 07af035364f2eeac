"""Echoes of recalled text are found and not indexed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.conversations.echo import (
    METADATA_KEY,
    MIN_WORDS,
    echo_metadata,
    find_echoes,
    indexed_spans,
)
from memory_service.items.fields import MAX_METADATA_VALUE_CHARS
from memory_service.text.spans import Span

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=MIN_WORDS, max_size=12).map(" ".join)


@given(WORDS, st.text(max_size=30), st.text(max_size=30))
def test_quoted_text_is_in_no_passage(quoted: str, before: str, after: str) -> None:
    text = f"{before}\n{quoted}\n{after}"
    metadata = echo_metadata(find_echoes(text, [quoted]))
    start = text.index(quoted)
    for window in indexed_spans(text, metadata, words=20, overlap=5):
        assert window.end <= start or window.start >= start + len(quoted)


@pytest.mark.parametrize(
    ("text", "quoted", "expected"),
    [
        ("nothing of it", "one two three four five six", []),
        ("One  two three\nfour five six", "one two three four five six", [Span(0, 28)]),
        ("one two", "one two", []),
        ('x <recalled_turns a="b">\n[d] y\n</recalled_turns> z', "", [Span(2, 48)]),
    ],
)
def test_find_echoes(text: str, quoted: str, expected: list[Span]) -> None:
    assert find_echoes(text, [quoted]) == expected


@pytest.mark.parametrize("value", ["", "x", "1-", "5-2", "1-2,2-3,a"])
def test_invalid_echo_metadata_is_ignored(value: str) -> None:
    text = "one two three four five six seven"
    assert indexed_spans(text, {METADATA_KEY: value}, words=20, overlap=5)


def test_many_echoes_fit_into_metadata() -> None:
    metadata = echo_metadata([Span(10 * n, 10 * n + 5) for n in range(500)])
    assert len(metadata[METADATA_KEY]) <= MAX_METADATA_VALUE_CHARS
