"""Stage 1, time: which turns were said at the time that a query means.

"What did we plan last Tuesday?" means the turns of that day; "the week after my surgery" means a
time relative to an event, whose day is that of the turns about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np

from memory_service.core import clock
from memory_service.core.models import Scope, Turn
from memory_service.dates import expressions, timeline
from memory_service.dates.expressions import TimeReference
from memory_service.recall.caches.branch_cache import BranchCache, Positions
from memory_service.recall.query import Query
from memory_service.text.spans import Span
from memory_service.turn_log.transactions import ReadTransaction

EVENT_TURNS = 6
"""Turns that are recalled to find out when an event was."""
EVENT_DAYS = 3
"""Days that are taken from them."""

RecallTurns = Callable[[Query], Sequence[Turn]]
"""Recalls turns, best first."""

EventDays = Mapping[Span, date]
"""The day of each event of a query, by the span that names the event."""


@dataclass(frozen=True, slots=True)
class TimeScope:
    """The turns that were said at the time a query means; false if there are none.

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
    events = expressions.event_spans(query.text, scope.languages)
    today = clock.to_datetime(asked_at).date()
    if not events and not expressions.time_reference(query.text, today, scope.languages):
        return TimeScope(query.search_text)
    offset = query.utc_offset_minutes
    if offset is None:
        offset = snapshot.turns.utc_offset_minutes(scope)
    now = clock.to_datetime(asked_at, offset)
    references = [
        expressions.time_reference(query.text, now.date(), scope.languages, days)
        for days in _possible_days(query, events, scope, offset, recall_turns)
    ]
    positions = _positions_meant(snapshot, scope, branches, references, now)
    if not positions:
        return TimeScope(query.search_text)
    # The references differ in the days of the events, not in the spans that name the time.
    reference = references[-1]
    is_exclusive = not events and timeline.is_only_time(query.text, reference, scope.languages)
    text = query.text if is_exclusive else reference.without(query.text)
    return TimeScope(replace(query, text=text).search_text, positions, is_exclusive)


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
            {**earlier, event: day} for earlier in possible for day in list(days)[:EVENT_DAYS]
        ] or possible
    return possible


def _positions_meant(
    snapshot: ReadTransaction,
    scope: Scope,
    branches: BranchCache,
    references: Sequence[TimeReference],
    now: datetime,
) -> dict[int, Positions]:
    """Return the positions of the turns of any of the times, by conversation; {} if there is none.

    Sessions are counted over all conversations of the scope together.
    """
    active = {key: branches.get(snapshot, key, member) for key, member in scope.members.items()}
    times = np.concatenate([branch.created_at for branch in active.values()])
    is_meant = np.logical_or.reduce(
        [timeline.select_turns(reference, times, now) for reference in references]
    )
    if not is_meant.any():
        return {}
    bounds = np.cumsum([len(branch.turns) for branch in active.values()])[:-1]
    masks = np.split(is_meant, bounds)
    return {key: np.flatnonzero(mask) for key, mask in zip(active, masks, strict=True)}
