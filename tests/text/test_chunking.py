"""Windows of long texts and the text of passages."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.text.chunking import passage_text, windows
from memory_service.text.spans import Span
from tests.support.factories import cut

SIGNS = st.sampled_from("ab\n\t \u3000\u00a0漢é😀")
TEXTS = st.lists(st.text(SIGNS, max_size=30) | st.just("x" * 200), max_size=12).map("".join)
SIZES = st.tuples(st.integers(1, 9), st.integers(0, 8)).filter(lambda size: size[1] < size[0])


@given(TEXTS, SIZES)
def test_windows_cover_all_visible_characters(text: str, size: tuple[int, int]) -> None:
    covered: set[int] = set()
    for window in windows(text, words=size[0], overlap=size[1]):
        covered.update(range(window.start, window.end))
    assert {n for n, sign in enumerate(text) if not sign.isspace()} <= covered


@given(TEXTS, SIZES)
def test_windows_are_ordered_and_not_nested(text: str, size: tuple[int, int]) -> None:
    spans = windows(text, words=size[0], overlap=size[1])
    assert all(0 <= window.start < window.end <= len(text) for window in spans)
    pairs = itertools.pairwise(spans)
    assert all(a.start < b.start and a.end < b.end for a, b in pairs)


@given(TEXTS, SIZES)
def test_windows_have_no_outer_white_space(text: str, size: tuple[int, int]) -> None:
    assert all(part == part.strip() for part in cut(text, *size))


@given(st.integers(1, 60), SIZES)
def test_windows_have_the_given_size_and_overlap(count: int, size: tuple[int, int]) -> None:
    words, overlap = size
    parts = [part.split() for part in cut(" ".join(map(str, range(count))), words, overlap)]
    assert all(len(part) == words for part in parts[:-1])
    assert len(parts[-1]) <= words
    assert all(a[len(a) - overlap :] == b[:overlap] for a, b in itertools.pairwise(parts))


@given(st.integers(1, 60), SIZES)
def test_window_count_is_minimal(count: int, size: tuple[int, int]) -> None:
    spans = windows("w " * count, words=size[0], overlap=size[1])
    assert len(spans) == 1 + max(0, -(-(count - size[0]) // (size[0] - size[1])))


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000\u00a0"])
def test_blank_text_has_no_window(text: str) -> None:
    assert windows(text, words=5, overlap=1) == []


def test_short_text_is_one_window() -> None:
    assert windows("  one two\n three ", words=3, overlap=1) == [Span(2, 16)]


def test_long_run_without_spaces_is_cut() -> None:
    assert cut("漢" * 100, 1, 0) == ["漢" * 40, "漢" * 40, "漢" * 20]


@pytest.mark.parametrize("text", ["x" * 1_000_000, "word " * 200_000, "\n" * 1_000_000])
def test_windows_of_a_megabyte_have_bounded_length(text: str) -> None:
    assert all(len(part) <= 120 * 41 for part in cut(text, 120, 20))


@pytest.mark.parametrize(("words", "overlap"), [(5, 5), (5, 6), (0, 0)])
def test_overlap_not_smaller_than_words_is_refused(words: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="must be smaller"):
        windows("one two", words=words, overlap=overlap)


def test_passage_begins_with_the_speaker() -> None:
    assert passage_text("Anna", "so, the blue house", Span(4, 12)) == "Anna: the blue"
