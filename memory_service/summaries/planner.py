"""The planner: finds the next summary task of a conversation, from the log alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memory_service.core.models import Conversation, NewSummary, Summary, SummaryRange, Turn
from memory_service.items.chat_messages import turn_groups
from memory_service.summaries import hierarchy
from memory_service.summaries.model_prompts import summary_lines, turn_lines
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.transactions import ReadTransaction

TURNS_READ_AT_ONCE = 200


class TaskId(NamedTuple):
    """The identity of a task: its conversation, its level, and the turns that it covers."""

    conversation_key: int
    level: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class SummaryTask:
    """A summary to write: what it covers, the lines that the model is shown, and the model."""

    conversation_key: int
    new: NewSummary
    lines: Sequence[str]
    model: str | None

    @property
    def id(self) -> TaskId:
        """The identity of the task."""
        new = self.new
        return TaskId(self.conversation_key, new.level, new.first_seq, new.last_seq)


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """Summaries of a conversation to embed: those that were stored without a vector."""

    conversation_key: int
    summaries: Sequence[Summary]

    @property
    def id(self) -> TaskId:
        """The identity of the task; it cannot equal that of a summary."""
        return embedding_task_id(self.conversation_key)


def embedding_task_id(conversation_key: int) -> TaskId:
    """Return the identity of all embedding tasks of a conversation; no summary has level 0."""
    return TaskId(conversation_key, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Gap:
    """The first turns of a gap in the cover; the last gap (`is_last`) is before the window."""

    turns: Sequence[Turn]
    before_seq: int
    is_last: bool


class SummaryPlanner:
    """Plans the summaries of one conversation within a read transaction."""

    def __init__(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        counter: TokenCounter,
        model: str | None,
    ) -> None:
        self._snapshot = snapshot
        self._conversation = conversation
        self._counter = counter
        self._model = model

    def next_task(self, set_aside: Collection[TaskId]) -> SummaryTask | None:
        """Return the next task that is not set aside; None if there is none.

        Merges come first, so that a long backlog is never kept as many small summaries.
        """
        before_seq = self._window_seq()
        if before_seq is None:
            return None
        covering = hierarchy.cover(self._snapshot.summaries.ranges(self._conversation.key))
        gaps = self._gaps(covering, before_seq)
        tasks = (task for task in self._tasks(covering, gaps) if task.id not in set_aside)
        return next(tasks, None)

    def _tasks(
        self, covering: Sequence[SummaryRange], gaps: Sequence[_Gap]
    ) -> Iterator[SummaryTask]:
        """Yield the tasks of the conversation, the next one first."""
        merge = hierarchy.next_merge(covering, [gap.turns[0].seq for gap in gaps])
        if merge:
            yield self._merge(merge)
        for gap in gaps:
            yield from map(self._summary_of_turns, self._chunks(gap))

    def _window_seq(self) -> int | None:
        """Return where the recent window begins; None without a window on the active branch."""
        state = self._snapshot.prompt_states.get(self._conversation.key)
        if state is None or state.window_seq is None:
            return None
        seq = state.window_seq
        is_active = bool(
            self._snapshot.turns.between(self._conversation.key, seq - 1, seq + 1, limit=1)
        )
        return seq if is_active else None

    def _gaps(self, covering: Sequence[SummaryRange], before_seq: int) -> list[_Gap]:
        """Return the first turns of each gap that has turns on the active branch."""
        return [
            _Gap(turns, before, is_last=before == before_seq)
            for after, before in hierarchy.gaps(covering, before_seq)
            if (turns := self._turns_between(after, before, TURNS_READ_AT_ONCE))
        ]

    def _turns_between(self, after_seq: int, before_seq: int, limit: int) -> list[Turn]:
        return self._snapshot.turns.between(self._conversation.key, after_seq, before_seq, limit)

    def _chunks(self, gap: _Gap) -> Iterator[list[Turn]]:
        """Yield the turns of the next summaries in complete tool groups, until they must wait."""
        groups = self._complete_groups(gap)
        tokens = [
            sum(self._counter.count(line) for line in turn_lines(group, self._counter))
            for group in groups
        ]
        turns = [len(group) for group in groups]
        begin = 0
        while size := hierarchy.chunk_size(tokens[begin:], turns[begin:], may_wait=gap.is_last):
            yield [turn for group in groups[begin : begin + size] for turn in group]
            begin += size

    def _complete_groups(self, gap: _Gap) -> Sequence[Sequence[Turn]]:
        """Return the gap's tool groups before the first that is not complete.

        A group that continues in the recent window is not complete.
        """
        groups = self._read_groups(gap)
        if not gap.is_last:
            return groups
        unfinished = self._snapshot.turns.tool_groups_from(self._conversation.key, gap.before_seq)
        ends = (
            number
            for number, group in enumerate(groups)
            if any(turn.tool_group_key in unfinished for turn in group)
        )
        return groups[: next(ends, len(groups))]

    def _read_groups(self, gap: _Gap) -> Sequence[Sequence[Turn]]:
        """Return the first tool groups of a gap, without a last group that was read in part.

        More turns are read while all of them are in one group.
        """
        turns, limit = gap.turns, TURNS_READ_AT_ONCE
        groups = turn_groups(turns)
        while len(turns) >= limit and len(groups) == 1:
            limit *= 4
            turns = self._turns_between(turns[0].seq - 1, gap.before_seq, limit)
            groups = turn_groups(turns)
        return groups[:-1] if len(turns) >= limit else groups

    def _summary_of_turns(self, turns: Sequence[Turn]) -> SummaryTask:
        times = [turn.created_at for turn in turns]
        new = NewSummary(
            level=1,
            first_seq=turns[0].seq,
            last_seq=turns[-1].seq,
            tip_key=turns[-1].key,
            began_at=min(times),
            ended_at=max(times),
            turn_keys=tuple(turn.key for turn in turns),
        )
        lines = turn_lines(turns, self._counter)
        return SummaryTask(self._conversation.key, new, lines, self._model)

    def _merge(self, ranges: Sequence[SummaryRange]) -> SummaryTask:
        keys = [merged.key for merged in ranges]
        by_key = self._snapshot.summaries.by_keys(self._conversation.key, keys)
        summaries = [by_key[key] for key in keys]
        new = NewSummary(
            level=1 + max(summary.level for summary in summaries),
            first_seq=summaries[0].first_seq,
            last_seq=summaries[-1].last_seq,
            tip_key=summaries[-1].tip_key,
            began_at=min(summary.began_at for summary in summaries),
            ended_at=max(summary.ended_at for summary in summaries),
            summary_keys=tuple(keys),
        )
        lines = summary_lines(summaries)
        return SummaryTask(self._conversation.key, new, lines, self._model)
