"""Values that arrive in pieces are put together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.items.deltas import MAX_DEPTH, added, plain

THINKING = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
CITATION = {"type": "url_citation", "url_citation": {"url": "https://x.test/a", "title": "a"}}
OTHER_CITATION = {"type": "url_citation", "url_citation": {"url": "https://x.test/b"}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "index", "id", "signature", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def merged(*pieces: Any) -> Any:
    value = None
    for piece in pieces:
        value = added(value, piece)
    return plain(value)


CASES: dict[str, tuple[list[Any], Any]] = {
    "text": (["Hm", "", "m", None], "Hmm"),
    "number": ([1, 2, None], 2),
    "fields": ([{"a": "x", "b": 1}, {"a": "y", "c": [2]}], {"a": "xy", "b": 1, "c": [2]}),
    "signed block": (
        [
            [{**THINKING, "text": "Let"}],
            [{**THINKING, "text": " me", "signature": None}],
            [{**THINKING, "signature": "s1=="}],
            [{**THINKING, "signature": "s1=="}],
        ],
        [{**THINKING, "text": "Let me", "signature": "s1=="}],
    ),
    "two blocks of one index": (
        [
            [{**THINKING, "text": "a", "signature": "s1"}],
            [{**THINKING, "text": "b"}],
            [{**THINKING, "signature": "s2"}],
        ],
        [
            {**THINKING, "text": "a", "signature": "s1"},
            {**THINKING, "text": "b", "signature": "s2"},
        ],
    ),
    "blocks of several types": (
        [
            [{"type": "reasoning.summary", "summary": "a", "index": 0}],
            [{"type": "reasoning.summary", "summary": "b", "index": 0}],
            [{"type": "reasoning.encrypted", "data": "x", "id": "r1", "index": 0}],
            [{"type": "reasoning.encrypted", "data": "y", "id": "r2", "index": 0}],
        ],
        [
            {"type": "reasoning.summary", "summary": "ab", "index": 0},
            {"type": "reasoning.encrypted", "data": "x", "id": "r1", "index": 0},
            {"type": "reasoning.encrypted", "data": "y", "id": "r2", "index": 0},
        ],
    ),
    "interleaved indices": (
        [[{"index": n, "text": text}] for n, text in ((0, "a"), (1, "x"), (0, "b"), (1, "y"))],
        [{"index": 0, "text": "ab"}, {"index": 1, "text": "xy"}],
    ),
    "blocks without index": (
        [[{"type": "text", "text": text}] for text in ("a", "b")],
        [{"type": "text", "text": "ab"}],
    ),
    "citations": ([[CITATION], [OTHER_CITATION]], [CITATION, OTHER_CITATION]),
    "thinking part before text": (
        [
            [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}],
            [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}],
            "It is",
            " 4.",
        ],
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "It is 4."},
        ],
    ),
    "thought signature sent twice": (
        [{"google": {"thought_signature": "s"}}, {"google": {"thought_signature": "s"}}],
        {"google": {"thought_signature": "s"}},
    ),
    "unstorable": (["a\x00", "\ud83d", "\ude00"], "a\ufffd\U0001f600"),
    "infinite": ([{"score": float("inf"), "p": 0.5}], {"score": None, "p": 0.5}),
}


@pytest.mark.parametrize(("pieces", "value"), CASES.values(), ids=CASES)
def test_pieces_are_merged(pieces: list[Any], value: Any) -> None:
    assert merged(*pieces) == value


def test_deeply_nested_values_are_left_out() -> None:
    piece: Any = "deep"
    for _ in range(MAX_DEPTH + 5):
        piece = {"a": [piece]}
    assert "deep" not in json.dumps(merged({"b": "x", "c": piece}))
    assert merged({"b": "x", "c": piece})["b"] == "x"


@given(st.lists(JSON_VALUES, max_size=5))
def test_result_is_storable_json(pieces: list[Any]) -> None:
    text = json.dumps(merged(*pieces), allow_nan=False, ensure_ascii=False)
    assert "\x00" not in text.encode().decode()


@given(JSON_VALUES)
def test_pieces_are_not_changed(piece: Any) -> None:
    before = repr(piece)
    merged(piece, piece)
    assert repr(piece) == before
