"""Stage 1, time: which turns were said at the time that a query means.

"What did we plan last Tuesday?" means the turns of that day; "the week after my surgery" means a
time relative to an event, whose day is that of the turns about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from memory_service.core import clock
from memory_service.core.models import Scope, Turn
from memory_service.dates import expressions, timeline
from memory_service.dates.expressions import Span
from memory_service.recall.caches.branch_cache import ActiveBranch, BranchCache, Positions
from memory_service.recall.query import Query
from memory_service.turn_log.transactions import ReadTransaction

EVENT_TURNS = 6
"""Turns that are recalled to find out when an event was."""
EVENT_DAYS = 3
"""Days that are taken from them."""

RecallTurns = Callable[[Query], Sequence[Turn]]
"""Recalls turns, best first."""

EventDays = Mapping[Span, date]
"""The day of each event of a query, by the span that tells the event."""


@dataclass(frozen=True, slots=True)
class TimeScope:
    """The turns that were said at the time a query means. False if it means no time that has turns.

    `text` is what remains to be looked for: the query without its time expression. `positions` are
    those of the turns on the active branch of each conversation of the scope, by conversation key.
    With `is_exclusive` the query asks for nothing but a time, and only these turns are candidates.
    """

    text: str
    positions: Mapping[int, Positions] = field(default_factory=dict)
    is_exclusive: bool = False

    def __bool__(self) -> bool:
        """Return whether the query means a time that has turns."""
        return bool(self.positions)


def read_time_scope(
    snapshot: ReadTransaction,
    scope: Scope,
    query: Query,
    branches: BranchCache,
    recall_turns: RecallTurns,
) -> TimeScope:
    """Return the turns of the time that a query means.

    `recall_turns` recalls the turns about an event of the query.
    """
    asked_at = clock.now() if query.now is None else query.now
    events = expressions.events(query.text, scope.languages)
    today = clock.to_datetime(asked_at).date()
    if not events and not expressions.read(query.text, today, scope.languages):
        return TimeScope(query.search_text)
    offset = query.utc_offset_minutes
    if offset is None:
        offset = snapshot.turns.utc_offset_minutes(scope)
    now = clock.to_datetime(asked_at, offset)
    references = [
        expressions.read(query.text, now.date(), scope.languages, days)
        for days in _possible_days(query, events, scope, offset, recall_turns)
    ]
    active = {key: branches.get(snapshot, key, member) for key, member in scope.members.items()}
    times = np.concatenate([branch.created_at for branch in active.values()])
    is_meant = np.logical_or.reduce(
        [timeline.meant(reference, times, now) for reference in references]
    )
    if not is_meant.any():
        return TimeScope(query.search_text)
    # The references differ in their periods only, not in the words that tell the time.
    reference = references[-1]
    if not events and timeline.is_only_time(query.text, reference, scope.languages):
        return TimeScope(query.search_text, _by_conversation(active, is_meant), is_exclusive=True)
    rest = query.with_text(reference.without(query.text)).search_text
    return TimeScope(rest, _by_conversation(active, is_meant))


def _possible_days(
    query: Query,
    events: Sequence[Span],
    scope: Scope,
    utc_offset_minutes: int | None,
    recall_turns: RecallTurns,
) -> list[EventDays]:
    """Return on which days the events of a query may have been: those of the turns about each.

    An event is recalled by its own words, which are fewer than the query's.
    """
    possible: list[EventDays] = [{}]
    for event in events:
        about_event = replace(
            query,
            text=query.text[slice(*event)],
            context="",
            top_k=EVENT_TURNS,
            exclude=frozenset(),
        )
        days = dict.fromkeys(
            timeline.day_of(turn, utc_offset_minutes, scope.languages)
            for turn in recall_turns(about_event)
        )
        possible = [
            {**known, event: day} for known in possible for day in list(days)[:EVENT_DAYS]
        ] or possible
    return possible


def _by_conversation(
    branches: Mapping[int, ActiveBranch], is_meant: npt.NDArray[np.bool_]
) -> dict[int, Positions]:
    """Split a mask over the turns of all branches into the positions on each branch."""
    bounds = np.cumsum([len(branch.turns) for branch in branches.values()])[:-1]
    masks = np.split(is_meant, bounds)
    return {key: np.flatnonzero(mask) for key, mask in zip(branches, masks, strict=True)}
