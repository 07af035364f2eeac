"""Which turns and which summaries are summarised next, and which summaries tell a path. Pure.

Summaries lie on a path like paving: the first level covers turns, each higher one several summaries
below. What covers a path best is always made of whole summaries side by side, the widest that there
are (`cover`); what is next to be written follows from it alone. So nothing is remembered between
two steps, and work that was cut short is simply found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memory_service.core.models import SummaryPlace

FAN_IN = 4
"""Summaries that make one of a higher level: at most three of each lie side by side."""

CHUNK_TOKENS = 3_000
"""Tokens of the turns that one summary is made of: with the answer they fit a window of 4,096."""

LEAST_TURNS, LEAST_TOKENS = 6, 600
"""Turns that have just left the window wait until they are so many, or so long: a summary of two
short remarks would be longer than they are."""


def cover(places: Iterable[SummaryPlace], before_seq: int | None = None) -> list[SummaryPlace]:
    """Return the widest summaries in their order, none inside another; up to a turn, if given."""
    chosen: list[SummaryPlace] = []
    fitting = (place for place in places if before_seq is None or place.last_seq < before_seq)
    for place in sorted(fitting, key=lambda one: (one.first_seq, -one.last_seq, -one.level)):
        if not chosen or place.first_seq > chosen[-1].last_seq:
            chosen.append(place)
    return chosen


def gaps(covering: Sequence[SummaryPlace], before_seq: int) -> list[tuple[int, int]]:
    """Return (after, before) where turns may lie that nothing covers; neither end is meant.

    Summaries may reach over `before_seq`, where the window went back to a larger size.
    """
    ends = [0, *(place.last_seq for place in covering)]
    begins = [*(min(place.first_seq, before_seq) for place in covering), before_seq]
    return [(end, begin) for end, begin in zip(ends, begins, strict=True) if begin - end > 1]


def chunk_size(tokens: Sequence[int], turns: Sequence[int], *, may_wait: bool) -> int:
    """Return how many units, from the first on, make the next chunk; 0 means to wait for more.

    `tokens` and `turns` count those of each unit. A unit that is too long for a chunk is one by
    itself; what `may_wait` and is too little waits.
    """
    size = used = 0
    while size < len(tokens) and (size == 0 or used + tokens[size] <= CHUNK_TOKENS):
        used += tokens[size]
        size += 1
    is_all = size == len(tokens)
    is_little = sum(turns[:size]) < LEAST_TURNS and used < LEAST_TOKENS
    return 0 if may_wait and is_all and is_little else size


def next_merge(covering: Sequence[SummaryPlace], open_seqs: Sequence[int]) -> list[SummaryPlace]:
    """Return the summaries that make the next higher one; none if there are not enough.

    `open_seqs` are turns that nothing covers: no summary reaches over one. The lowest level comes
    first. What a deletion has left of lower levels goes with its higher neighbours, but for what is
    newest: that will have company of its own level.
    """
    for level in sorted({place.level for place in covering}):
        for run in _runs(covering, level, open_seqs):
            if len(run) >= FAN_IN:
                return run[:FAN_IN]
    return []


def _runs(
    covering: Sequence[SummaryPlace], level: int, open_seqs: Sequence[int]
) -> list[list[SummaryPlace]]:
    """Return the summaries of up to a level that lie side by side, and can make one together."""
    runs: list[list[SummaryPlace]] = [[]]
    before: SummaryPlace | None = None
    for place in covering:
        if before is not None and _is_between(open_seqs, before, place):
            runs[-1] = _without_newest(runs[-1], level)
            runs.append([])
        if place.level <= level:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
        before = place
    runs[-1] = _without_newest(runs[-1], level)
    return runs


def _without_newest(run: Sequence[SummaryPlace], level: int) -> list[SummaryPlace]:
    """Return a run up to its last summary of a level."""
    ends = [number for number, place in enumerate(run, start=1) if place.level == level]
    return list(run[: max(ends, default=0)])


def _is_between(seqs: Sequence[int], left: SummaryPlace, right: SummaryPlace) -> bool:
    return any(left.last_seq < seq < right.first_seq for seq in seqs)
