"""The hierarchy of summaries: what covers a branch, and what is summarised next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import SummaryRange
from memory_service.summaries.hierarchy import (
    CHUNK_TOKENS,
    FAN_IN,
    MIN_TOKENS,
    MIN_TURNS,
    chunk_size,
    cover,
    gaps,
    next_merge,
)

KEYS = itertools.count(1)


def span(level: int, first_seq: int, last_seq: int) -> SummaryRange:
    return SummaryRange(next(KEYS), level, first_seq, last_seq)


@st.composite
def histories(draw: st.DrawFn) -> list[SummaryRange]:
    """Return the summaries of a branch that was summarised chunk by chunk, a few deleted again."""
    ranges: list[SummaryRange] = []
    seq = 1
    for size in draw(st.lists(st.integers(1, 9), max_size=40)):
        ranges.append(span(1, seq, seq + size - 1))
        seq += size
        ranges.extend(merges(ranges, seq))
    deleted = draw(st.sets(st.integers(1, max(1, seq)), max_size=3))
    return [
        summary
        for summary in ranges
        if not any(summary.first_seq <= seq <= summary.last_seq for seq in deleted)
    ]


def merges(
    ranges: list[SummaryRange], before_seq: int, open_seqs: tuple[int, ...] = ()
) -> Iterator[SummaryRange]:
    """Yield the higher summaries that a branch is merged into, one after another."""
    merged = list(ranges)
    while parts := next_merge(cover(merged, before_seq), open_seqs):
        level = 1 + max(part.level for part in parts)
        merged.append(span(level, parts[0].first_seq, parts[-1].last_seq))
        yield merged[-1]


@given(histories(), st.integers(1, 400))
def test_cover_lies_side_by_side_before_window(ranges: list[SummaryRange], before_seq: int) -> None:
    covering = cover(ranges, before_seq)
    assert all(left.last_seq < right.first_seq for left, right in itertools.pairwise(covering))
    assert all(covered.last_seq < before_seq for covered in covering)


@given(histories(), st.integers(1, 400))
def test_cover_leaves_out_only_summaries_inside_it(
    ranges: list[SummaryRange], before_seq: int
) -> None:
    covering = cover(ranges, before_seq)
    for summary in ranges:
        is_inside = any(
            outer.first_seq <= summary.first_seq and summary.last_seq <= outer.last_seq
            for outer in covering
        )
        assert is_inside is (summary.last_seq < before_seq)


@given(histories(), st.integers(1, 400))
def test_every_turn_before_window_is_covered_or_in_gap(
    ranges: list[SummaryRange], before_seq: int
) -> None:
    covering = cover(ranges, before_seq)
    covered = {
        seq for summary in covering for seq in range(summary.first_seq, summary.last_seq + 1)
    }
    open_seqs = {seq for after, end in gaps(covering, before_seq) for seq in range(after + 1, end)}
    assert covered.isdisjoint(open_seqs)
    assert covered | open_seqs == set(range(1, before_seq))


@given(st.lists(st.integers(1, 9), max_size=200))
def test_long_branch_is_covered_by_few_summaries(sizes: list[int]) -> None:
    ranges, seq = [], 1
    for size in sizes:
        ranges.append(span(1, seq, seq + size - 1))
        seq += size
        ranges.extend(merges(ranges, seq))
    levels = [covered.level for covered in cover(ranges, seq)]
    assert levels == sorted(levels, reverse=True)
    assert all(levels.count(level) < FAN_IN for level in levels)


@given(histories())
def test_merged_summaries_span_no_open_turn(ranges: list[SummaryRange]) -> None:
    before_seq = 1 + max((summary.last_seq for summary in ranges), default=0)
    open_seqs = [after + 1 for after, _ in gaps(cover(ranges, before_seq), before_seq)]
    for merged in merges(ranges, before_seq, tuple(open_seqs)):
        assert not any(merged.first_seq <= seq <= merged.last_seq for seq in open_seqs)


def test_newest_summaries_wait_for_neighbours_of_their_level() -> None:
    covering = [span(2, 1, 40), span(1, 41, 50), span(1, 51, 60), span(1, 61, 70)]
    assert next_merge(covering, ()) == []


def test_summary_left_by_deletion_is_merged_with_higher_neighbours() -> None:
    covering = [span(2, 1, 40), span(1, 41, 50), span(2, 51, 90), span(2, 91, 130)]
    assert next_merge(covering, ()) == covering
    assert next_merge(covering, (45,)) == covering
    assert next_merge([covering[0], *covering[2:], span(2, 131, 170)], (45,)) == []


GROUPS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 4)), max_size=12)


@given(groups=GROUPS, may_wait=st.booleans())
def test_chunk_is_short_enough_or_single_group(
    *, groups: list[tuple[int, int]], may_wait: bool
) -> None:
    tokens, turns = [count for count, _ in groups], [count for _, count in groups]
    size = chunk_size(tokens, turns, may_wait=may_wait)
    assert size <= len(groups)
    assert size <= 1 or sum(tokens[:size]) <= CHUNK_TOKENS
    if size == 0 and groups:
        assert may_wait
        assert sum(turns) < MIN_TURNS
        assert sum(tokens) < MIN_TOKENS
