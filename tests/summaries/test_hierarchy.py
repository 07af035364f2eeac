"""Which turns and summaries are folded next: pure properties, and any history of a conversation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import ModelAnswer, SummaryRange
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.summaries.hierarchy import (
    CHUNK_TOKENS,
    FAN_IN,
    LEAST_TOKENS,
    LEAST_TURNS,
    chunk_size,
    cover,
    gaps,
    next_merge,
)
from memory_service.testing import RepeatingModel
from tests.support.factories import chat_calls, chat_output, message
from tests.support.storing import append, create, project_key
from tests.support.summarising import (
    fold,
    path,
    places,
    prompt,
    ranges,
    summaries,
    summarising,
    worker,
)

NUMBERS = itertools.count(1)


def place(level: int, first: int, last: int) -> SummaryRange:
    return SummaryRange(next(NUMBERS), level, first, last)


@st.composite
def grown(draw: st.DrawFn) -> list[SummaryRange]:
    """Return the summaries of a path that was folded chunk by chunk, with some deleted again."""
    found: list[SummaryRange] = []
    seq = 1
    for size in draw(st.lists(st.integers(1, 9), max_size=40)):
        found.append(place(1, seq, seq + size - 1))
        seq += size
        found.extend(merges(found, seq))
    doomed = draw(st.sets(st.integers(1, max(1, seq)), max_size=3))
    return [one for one in found if not any(one.first_seq <= n <= one.last_seq for n in doomed)]


def merges(
    found: list[SummaryRange], before: int, open_seqs: tuple[int, ...] = ()
) -> Iterator[SummaryRange]:
    """Yield the higher summaries that a path is merged into, one after another."""
    known = list(found)
    while parts := next_merge(cover(known, before), open_seqs):
        level = 1 + max(part.level for part in parts)
        known.append(place(level, parts[0].first_seq, parts[-1].last_seq))
        yield known[-1]


@given(grown(), st.integers(1, 400))
def test_a_cover_lies_side_by_side_before_the_window(
    found: list[SummaryRange], before: int
) -> None:
    covering = cover(found, before)
    assert all(left.last_seq < right.first_seq for left, right in itertools.pairwise(covering))
    assert all(one.last_seq < before for one in covering)


@given(grown(), st.integers(1, 400))
def test_a_cover_leaves_out_only_what_lies_inside_it(
    found: list[SummaryRange], before: int
) -> None:
    covering = cover(found, before)
    for one in found:
        around = [
            c for c in covering if c.first_seq <= one.first_seq and one.last_seq <= c.last_seq
        ]
        assert bool(around) is (one.last_seq < before)


@given(grown(), st.integers(1, 400))
def test_every_turn_before_the_window_is_covered_or_in_a_gap(
    found: list[SummaryRange], before: int
) -> None:
    covering = cover(found, before)
    told = {seq for one in covering for seq in range(one.first_seq, one.last_seq + 1)}
    open_seqs = {seq for after, end in gaps(covering, before) for seq in range(after + 1, end)}
    assert told.isdisjoint(open_seqs)
    assert told | open_seqs == set(range(1, before))


@given(st.lists(st.integers(1, 9), max_size=200))
def test_a_long_path_is_told_by_few_summaries(sizes: list[int]) -> None:
    found, seq = [], 1
    for size in sizes:
        found.append(place(1, seq, seq + size - 1))
        seq += size
        found.extend(merges(found, seq))
    levels = [one.level for one in cover(found, seq)]
    assert levels == sorted(levels, reverse=True)
    assert all(levels.count(level) < FAN_IN for level in levels)


@given(grown())
def test_what_is_merged_lies_side_by_side_and_hides_no_open_turn(found: list[SummaryRange]) -> None:
    before = 1 + max((one.last_seq for one in found), default=0)
    open_seqs = [after + 1 for after, _ in gaps(cover(found, before), before)]
    for one in merges(found, before, tuple(open_seqs)):
        assert not any(one.first_seq <= seq <= one.last_seq for seq in open_seqs)


def test_what_is_newest_waits_for_company_of_its_level() -> None:
    covering = [place(2, 1, 40), place(1, 41, 50), place(1, 51, 60), place(1, 61, 70)]
    assert next_merge(covering, ()) == []


def test_what_a_deletion_left_goes_with_its_higher_neighbours() -> None:
    covering = [place(2, 1, 40), place(1, 41, 50), place(2, 51, 90), place(2, 91, 130)]
    assert next_merge(covering, ()) == covering
    assert next_merge(covering, (45,)) == covering
    assert next_merge([covering[0], *covering[2:], place(2, 131, 170)], (45,)) == []


UNITS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 4)), max_size=12)


@given(units=UNITS, may_wait=st.booleans())
def test_a_chunk_is_short_enough_or_a_single_unit(
    *, units: list[tuple[int, int]], may_wait: bool
) -> None:
    tokens, turns = [one for one, _ in units], [one for _, one in units]
    size = chunk_size(tokens, turns, may_wait=may_wait)
    assert size <= len(units)
    assert size <= 1 or sum(tokens[:size]) <= CHUNK_TOKENS
    if size == 0 and units:
        assert may_wait
        assert sum(turns) < LEAST_TURNS
        assert sum(tokens) < LEAST_TOKENS


# Any history.


STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 9)),
    st.tuples(st.just("call"), st.integers(1, 3)),
    st.tuples(st.just("cut"), st.integers(2, 12)),
    st.tuples(st.just("work"), st.integers(1, 3)),
    st.tuples(st.just("crash"), st.just(1)),
    st.tuples(st.just("delete"), st.integers(0, 60)),
)


class CrashError(BaseException):
    """What the end of a process is like from inside."""


class Crashing(RepeatingModel):
    """A model during whose answer the process may end."""

    crashes = 0

    def answer(
        self, messages: Sequence[Mapping[str, str]], *, model: str, max_tokens: int
    ) -> ModelAnswer:
        """Crash, or answer."""
        if self.crashes:
            self.crashes -= 1
            raise CrashError
        return super().answer(messages, model=model, max_tokens=max_tokens)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Crashing]]:
    """Return a service for many conversations, and its model."""
    folder = tmp_path_factory.mktemp("folding")
    settings = Settings(data_dir=folder, tiktoken_cache_dir=folder / "none")
    model = Crashing()
    with summarising(settings, model) as service:
        yield service, model


@given(steps=st.lists(STEPS, max_size=25))
def test_after_any_history_summaries_tile_what_left_the_window(
    world: tuple[Service, Crashing], steps: list[tuple[str, int]]
) -> None:
    service, model = world
    name, answered = f"c{next(NUMBERS)}", len(model.asked)
    create(service, name)
    for step, count in steps:
        play(service, model, name, step, count)
        check_no_overlap(service, name)
    built = fold(service, name, recent_turns=12)
    check_no_overlap(service, name)
    if built.recent_first_seq is not None:
        check_tiles(service, name, built.recent_first_seq)
    if "delete" not in dict(steps):
        assert len(model.asked) - answered == len(summaries(service, name))


def play(service: Service, model: Crashing, name: str, step: str, count: int) -> None:
    """Do one step of a history."""
    number = next(NUMBERS)
    if step == "say":
        append(service, name, *(message(f"{number} {one} " + "word " * 40) for one in range(count)))
    elif step == "call":
        ids = [f"{number}-{one}" for one in range(count)]
        append(service, name, chat_calls(*ids), *map(chat_output, ids))
    elif step == "cut":
        prompt(service, name, recent_turns=count)
    elif step == "delete" and (turns := path(service, name)):
        service.deletions.item(project_key(service), name, turns[count % len(turns)].id)
    elif step == "work":
        for _ in range(count):
            worker(service).step()
    elif step == "crash":
        model.crashes = count
        with suppress(CrashError):
            worker(service).step()
        model.crashes = 0


def check_no_overlap(service: Service, name: str) -> None:
    for level in {one.level for one in places(service, name)}:
        found = ranges(service, level, name)
        assert all(left[1] < right[0] for left, right in itertools.pairwise(found))


def check_tiles(service: Service, name: str, window_seq: int) -> None:
    """Check that only a few short turns before the window wait, and that units are whole."""
    told = [range(first, last + 1) for first, last in ranges(service, 1, name)]
    turns = path(service, name)
    waiting = [
        turn for turn in turns if turn.seq < window_seq and not any(turn.seq in one for one in told)
    ]
    assert len(waiting) < LEAST_TURNS
    assert not told or not waiting or waiting[0].seq > told[-1][-1]
    for unit in {turn.tool_group_key for turn in turns} - {None}:
        seqs = [turn.seq for turn in turns if turn.tool_group_key == unit]
        assert all(len({seq in one for seq in seqs}) == 1 for one in told)
