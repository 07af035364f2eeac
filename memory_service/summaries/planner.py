"""Finding out what is to be summarised next in a conversation: a function of the log alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from memory_service.core.models import Conversation, NewSummary, SummaryPlace, Turn
from memory_service.items.chat_messages import turn_groups
from memory_service.summaries import hierarchy
from memory_service.summaries.model_prompts import summary_lines, turn_lines
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.transactions import ReadTransaction

TURNS_READ_AT_ONCE = 200

Place = tuple[int, int, int, int]
"""(conversation, level, first seq, last seq): what tells one piece of work from another."""


@dataclass(frozen=True, slots=True)
class Work:
    """A summary to be written: what it will cover, and the lines that a model is shown."""

    conversation_key: int
    new: NewSummary
    lines: Sequence[str]

    @property
    def place(self) -> Place:
        """What tells this work from other."""
        return self.conversation_key, self.new.level, self.new.first_seq, self.new.last_seq


@dataclass(frozen=True, slots=True)
class _Gap:
    """Turns of the live path that no summary covers; `is_last` is next to the recent window."""

    turns: Sequence[Turn]
    before_seq: int
    is_last: bool


def next_work(
    snapshot: ReadTransaction,
    conversation: Conversation,
    counter: TokenCounter,
    aside: Collection[Place],
) -> Work | None:
    """Return what is to be written next, without what is set aside; None if nothing is.

    Merging comes first, so that a long backlog never lies in many small pieces.
    """
    before_seq = _window_seq(snapshot, conversation)
    if before_seq is None:
        return None
    covering = hierarchy.cover(snapshot.summaries.places(conversation.key))
    gaps = _gaps(snapshot, conversation, covering, before_seq)
    merge = hierarchy.next_merge(covering, [gap.turns[0].seq for gap in gaps])
    if merge and (work := _merging(snapshot, conversation, merge)).place not in aside:
        return work
    chunks = (chunk for gap in gaps for chunk in _chunks(snapshot, conversation, gap, counter))
    tellings = (_telling(conversation, chunk, counter) for chunk in chunks)
    return next((work for work in tellings if work.place not in aside), None)


def _window_seq(snapshot: ReadTransaction, conversation: Conversation) -> int | None:
    """Return where the recent window begins; None if it never did, or on another branch."""
    state = snapshot.prompt_states.get(conversation.key)
    if state is None or state.window_seq is None:
        return None
    seq = state.window_seq
    is_live = bool(snapshot.turns.between(conversation.key, seq - 1, seq + 1, 1))
    return seq if is_live else None


def _gaps(
    snapshot: ReadTransaction,
    conversation: Conversation,
    covering: Sequence[SummaryPlace],
    before_seq: int,
) -> list[_Gap]:
    """Return the beginnings of what nothing covers, where anything was said at all."""
    return [
        _Gap(turns, before, is_last=before == before_seq)
        for after, before in hierarchy.gaps(covering, before_seq)
        if (turns := snapshot.turns.between(conversation.key, after, before, TURNS_READ_AT_ONCE))
    ]


def _chunks(
    snapshot: ReadTransaction, conversation: Conversation, gap: _Gap, counter: TokenCounter
) -> Iterator[list[Turn]]:
    """Yield the turns of the next summaries, units whole; none of what is to wait."""
    units = _complete_units(snapshot, conversation, gap)
    tokens = [sum(counter.count(line) for line in turn_lines(unit, counter)) for unit in units]
    turns = [len(unit) for unit in units]
    begin = 0
    while size := hierarchy.chunk_size(tokens[begin:], turns[begin:], may_wait=gap.is_last):
        yield [turn for unit in units[begin : begin + size] for turn in unit]
        begin += size


def _complete_units(
    snapshot: ReadTransaction, conversation: Conversation, gap: _Gap
) -> list[Sequence[Turn]]:
    """Return the gap's units up to one that goes on in the recent window or was not read whole."""
    turns, limit = gap.turns, TURNS_READ_AT_ONCE
    units = turn_groups(turns)
    while len(turns) >= limit and len(units) == 1:
        limit *= 4
        turns = snapshot.turns.between(conversation.key, turns[0].seq - 1, gap.before_seq, limit)
        units = turn_groups(turns)
    if len(turns) >= limit:
        units.pop()
    if gap.is_last:
        going_on = snapshot.turns.tool_groups_from(conversation.key, gap.before_seq)
        ends = (
            n for n, unit in enumerate(units) if any(one.tool_group_key in going_on for one in unit)
        )
        del units[next(ends, len(units)) :]
    return units


def _telling(conversation: Conversation, turns: Sequence[Turn], counter: TokenCounter) -> Work:
    first, last = turns[0], turns[-1]
    times = [turn.created_at for turn in turns]
    new = NewSummary(
        level=1,
        first_seq=first.seq,
        last_seq=last.seq,
        tip_key=last.key,
        began_at=min(times),
        ended_at=max(times),
        turn_keys=tuple(turn.key for turn in turns),
    )
    return Work(conversation.key, new, turn_lines(turns, counter))


def _merging(
    snapshot: ReadTransaction, conversation: Conversation, places: Sequence[SummaryPlace]
) -> Work:
    found = snapshot.summaries.by_keys(conversation.key, [place.key for place in places])
    parts = [found[place.key] for place in places]
    new = NewSummary(
        level=1 + max(part.level for part in parts),
        first_seq=parts[0].first_seq,
        last_seq=parts[-1].last_seq,
        tip_key=parts[-1].tip_key,
        began_at=min(part.began_at for part in parts),
        ended_at=max(part.ended_at for part in parts),
        summary_keys=tuple(part.key for part in parts),
    )
    return Work(conversation.key, new, summary_lines(parts))
