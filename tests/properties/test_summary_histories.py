"""Summaries cover the turns before the window after any appends, cuts, deletions and crashes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import ModelAnswer
from memory_service.core.settings import Settings
from memory_service.service import Service
from memory_service.summaries.hierarchy import MIN_TURNS
from memory_service.testing import RepeatingModel
from tests.support.factories import chat_calls, chat_output, message
from tests.support.storing import append, create, project_key
from tests.support.summarising import (
    active_branch,
    build_prompt,
    levels,
    ranges,
    summaries,
    summarise,
    summarising,
    summarizer,
)

NUMBERS = itertools.count(1)
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 9)),
    st.tuples(st.just("call"), st.integers(1, 3)),
    st.tuples(st.just("cut"), st.integers(2, 12)),
    st.tuples(st.just("work"), st.integers(1, 3)),
    st.tuples(st.just("crash"), st.just(1)),
    st.tuples(st.just("delete"), st.integers(0, 60)),
)


class CrashError(BaseException):
    """Ends a step like the end of the process."""


class CrashingModel(RepeatingModel):
    """A model during whose next `crashes` answers the process ends."""

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
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, CrashingModel]]:
    """Return a service for many conversations, and its model."""
    folder = tmp_path_factory.mktemp("histories")
    settings = Settings(data_dir=folder, tiktoken_cache_dir=folder / "none")
    model = CrashingModel()
    with summarising(settings, model) as service:
        yield service, model


@given(steps=st.lists(STEPS, max_size=25))
def test_summaries_tile_turns_before_window_after_any_history(
    world: tuple[Service, CrashingModel], steps: list[tuple[str, int]]
) -> None:
    service, model = world
    name, asked_before = f"c{next(NUMBERS)}", len(model.asked)
    create(service, name)
    for step, count in steps:
        play(service, model, name, step, count)
        check_no_overlap(service, name)
    prompt = summarise(service, name, recent_turns=12)
    check_no_overlap(service, name)
    if prompt.recent_first_seq is not None:
        check_tiles(service, name, prompt.recent_first_seq)
    if "delete" not in dict(steps):
        assert len(model.asked) - asked_before == len(summaries(service, name))


def play(service: Service, model: CrashingModel, name: str, step: str, count: int) -> None:
    """Do one step of a history."""
    number = next(NUMBERS)
    if step == "append":
        texts = (f"{number} {index} " + "word " * 40 for index in range(count))
        append(service, name, *map(message, texts))
    elif step == "call":
        ids = [f"{number}-{index}" for index in range(count)]
        append(service, name, chat_calls(*ids), *map(chat_output, ids))
    elif step == "cut":
        build_prompt(service, name, recent_turns=count)
    elif step == "delete" and (turns := active_branch(service, name)):
        service.deletions.delete_item(project_key(service), name, turns[count % len(turns)].id)
    elif step == "work":
        for _ in range(count):
            summarizer(service).step()
    elif step == "crash":
        model.crashes = count
        with suppress(CrashError):
            summarizer(service).step()
        model.crashes = 0


def check_no_overlap(service: Service, name: str) -> None:
    """Check that no two summaries of one level cover the same turn."""
    for level in levels(service, name):
        pairs = itertools.pairwise(ranges(service, level, name))
        assert all(left[1] < right[0] for left, right in pairs)


def check_tiles(service: Service, name: str, window_seq: int) -> None:
    """Check that only a few short turns before the window wait, and that tool groups are whole."""
    covered = [range(first, last + 1) for first, last in ranges(service, 1, name)]
    turns = active_branch(service, name)
    waiting = [
        turn
        for turn in turns
        if turn.seq < window_seq and not any(turn.seq in seqs for seqs in covered)
    ]
    assert len(waiting) < MIN_TURNS
    assert not covered or not waiting or waiting[0].seq > covered[-1][-1]
    for group in {turn.tool_group_key for turn in turns} - {None}:
        group_seqs = [turn.seq for turn in turns if turn.tool_group_key == group]
        assert all(len({seq in seqs for seq in group_seqs}) == 1 for seqs in covered)
