"""The hierarchy of summaries: which turns and summaries are summarised next. Pure.

Summaries of level 1 cover turns; a summary of a higher level covers several of lower levels. The
cover of a branch is a sequence of summaries that do not overlap, of the highest levels available
(`cover`). The next summary to write follows from this cover alone. So no state is kept between two
steps, and interrupted work is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from memory_service.core.models import SummaryRange

FAN_IN = 4
"""Adjacent summaries that are merged into one of the next level: at most three of a level remain
side by side."""

CHUNK_TOKENS = 3_000
"""The most tokens of the turns in one summary: with the answer they fit a window of 4,096."""

MIN_TURNS, MIN_TOKENS = 6, 600
"""Turns that have just left the window wait until they have this number or this length: a summary
of two short turns would be longer than the turns."""


def cover(ranges: Iterable[SummaryRange], before_seq: int | None = None) -> list[SummaryRange]:
    """Return the widest summaries in their order, without those inside another.

    With `before_seq`, only summaries that end before that turn count.
    """
    chosen: list[SummaryRange] = []
    fitting = (
        candidate for candidate in ranges if before_seq is None or candidate.last_seq < before_seq
    )
    for candidate in sorted(fitting, key=_widest_first):
        if not chosen or candidate.first_seq > chosen[-1].last_seq:
            chosen.append(candidate)
    return chosen


def gaps(covering: Sequence[SummaryRange], before_seq: int) -> list[tuple[int, int]]:
    """Return the gaps of a cover as (after, before): the `seq` on either side, both exclusive.

    Summaries may reach beyond `before_seq` if the window was extended again.
    """
    ends = [0, *(covered.last_seq for covered in covering)]
    begins = [*(min(covered.first_seq, before_seq) for covered in covering), before_seq]
    return [(end, begin) for end, begin in zip(ends, begins, strict=True) if begin - end > 1]


def chunk_size(tokens: Sequence[int], turns: Sequence[int], *, may_wait: bool) -> int:
    """Return how many of the first tool groups form the next chunk; 0 means to wait.

    `tokens` and `turns` are the counts of each group. A group that is too long for a chunk is a
    chunk of its own. With `may_wait`, too few turns wait for more.
    """
    size = used = 0
    while size < len(tokens) and (size == 0 or used + tokens[size] <= CHUNK_TOKENS):
        used += tokens[size]
        size += 1
    is_all = size == len(tokens)
    is_little = sum(turns[:size]) < MIN_TURNS and used < MIN_TOKENS
    return 0 if may_wait and is_all and is_little else size


def next_merge(covering: Sequence[SummaryRange], open_seqs: Sequence[int]) -> list[SummaryRange]:
    """Return the summaries to merge into a higher one; none if there are not enough.

    `open_seqs` are turns that no summary covers: a summary never spans one. The lowest level comes
    first. A deletion can leave a summary of a lower level without neighbours of its level; it is
    merged with higher neighbours, unless it is the newest, which will get neighbours of its level.
    """
    sections = _sections(covering, open_seqs)
    for level in sorted({covered.level for covered in covering}):
        for run in (run for section in sections for run in _runs(section, level)):
            if len(run) >= FAN_IN:
                return run[:FAN_IN]
    return []


def _widest_first(candidate: SummaryRange) -> tuple[int, int, int]:
    return candidate.first_seq, -candidate.last_seq, -candidate.level


def _sections(
    covering: Sequence[SummaryRange], open_seqs: Sequence[int]
) -> list[Sequence[SummaryRange]]:
    """Cut a cover where a turn without a summary is between two summaries."""
    cuts = [
        number
        for number, (left, right) in enumerate(pairwise(covering), start=1)
        if any(left.last_seq < seq < right.first_seq for seq in open_seqs)
    ]
    return [covering[begin:end] for begin, end in pairwise([0, *cuts, len(covering)])]


def _runs(section: Sequence[SummaryRange], level: int) -> list[list[SummaryRange]]:
    """Return the runs of adjacent summaries of up to a level that can be merged."""
    runs = [
        list(run)
        for is_low, run in groupby(section, key=lambda covered: covered.level <= level)
        if is_low
    ]
    if section and section[-1].level <= level:
        return [*runs[:-1], _without_newest(runs[-1], level)]
    return runs


def _without_newest(run: Sequence[SummaryRange], level: int) -> list[SummaryRange]:
    """Return a run up to its last summary of a level."""
    ends = [number for number, covered in enumerate(run, start=1) if covered.level == level]
    return list(run[: max(ends, default=0)])
