"""Long texts are counted in slices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memory_service.tokens.slices import count_in_slices


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 20))
def test_slices_are_bounded_and_cover_the_text(text: str, limit: int) -> None:
    slices: list[str] = []
    count_in_slices(text, lambda piece: slices.append(piece) or 0, limit)  # type: ignore[func-returns-value]
    assert "".join(slices) == text
    assert all(len(piece) <= limit for piece in slices)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=60))
def test_cuts_before_a_blank_add_no_tokens(words: list[str]) -> None:
    text = " ".join(words)
    assert count_in_slices(text, lambda piece: len(piece.split()), 12) == len(words)
