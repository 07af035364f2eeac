"""What is worked out of transcripts before they are stored is the same wherever that is done."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ingest.preparing import MAX_PLANNED_TURNS, Preparation, Prepared, Task
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.settings import Settings
from tests.support.factories import message, new_turn
from tests.support.storing import eventually

SAID = ("Where is the grey coat?", "In the attic, behind the skis.", "", "Zwei Straßen weiter 🦊")


@contextmanager
def preparation(settings: Settings, *, beside: bool) -> Iterator[Preparation]:
    opened = Preparation(settings, beside=beside)
    try:
        yield opened
    finally:
        opened.close()


def tasks() -> list[Task]:
    turns = [new_turn(message(text)) for text in SAID]
    return [Task(turns, wants_plan=True), Task(turns[:1], wants_plan=False)]


def assert_same(one: PreparedTurns | None, other: PreparedTurns | None) -> None:
    assert one is not None
    assert other is not None
    assert one.language == other.language
    assert list(one.passages) == list(other.passages)
    for turn, passages in one.passages.items():
        for mine, theirs in zip(passages, other.passages[turn], strict=True):
            assert (mine.ordinal, mine.start, mine.end) == (
                theirs.ordinal,
                theirs.start,
                theirs.end,
            )
            assert (mine.tf, mine.length) == (theirs.tf, theirs.length)
            assert (mine.vector is None) == (theirs.vector is None)
            if mine.vector is not None and theirs.vector is not None:
                np.testing.assert_array_equal(mine.vector, theirs.vector)


def both(settings: Settings, asked: list[Task]) -> tuple[Prepared, Prepared]:
    with preparation(settings, beside=False) as here, preparation(settings, beside=True) as beside:
        return (
            here.result(asked, here.submit(asked)),
            beside.result(asked, beside.submit(asked)),
        )


def test_a_process_beside_prepares_what_this_one_would(settings: Settings) -> None:
    here, beside = both(settings, tasks())
    assert here.tokens == beside.tokens > 0
    assert here.counter == beside.counter
    assert_same(here.plans[0], beside.plans[0])
    assert here.plans[1] is None
    assert beside.plans[1] is None


def test_turns_with_nothing_to_embed_are_planned_too(settings: Settings) -> None:
    with preparation(settings, beside=False) as here:
        asked = tasks()
        (plan, _) = here.result(asked, here.submit(asked)).plans
    assert plan is not None
    assert plan.covers(None, asked[0].turns)
    assert not plan.covers(None, [new_turn(message("another"))])
    assert not plan.covers("fi", asked[0].turns)


def test_what_a_process_left_when_it_was_killed_is_prepared_here(settings: Settings) -> None:
    asked = tasks()
    with preparation(settings, beside=True) as opened:
        opened.result(asked, opened.submit(asked))
        os.kill(opened.child_pid or 0, signal.SIGKILL)
        later = [opened.submit(asked) for _ in range(3)]
        prepared = [opened.result(asked, one) for one in later]
    assert [one.tokens for one in prepared] == [prepared[0].tokens] * 3
    assert_same(prepared[0].plans[0], prepared[2].plans[0])


def test_a_very_long_transcript_is_planned_only_so_far(settings: Settings) -> None:
    turns = [new_turn(message("short")) for _ in range(MAX_PLANNED_TURNS + 1)]
    with preparation(settings, beside=False) as here:
        asked = [Task(turns, wants_plan=True)]
        prepared = here.result(asked, here.submit(asked))
    assert prepared.plans[0] is not None
    assert len(prepared.plans[0].passages) == MAX_PLANNED_TURNS
    assert prepared.tokens >= MAX_PLANNED_TURNS + 1


@pytest.mark.parametrize("embedder", ["openai", "chroma:default"])
def test_other_embedders_are_asked_by_nobody_here(settings: Settings, embedder: str) -> None:
    other = settings.model_copy(update={"embedder": embedder})
    with preparation(other, beside=False) as here:
        asked = tasks()
        (plan, _) = here.result(asked, here.submit(asked)).plans
    assert plan is not None
    passages = [one for some in plan.passages.values() for one in some]
    assert passages
    assert all(one.vector is None for one in passages)


def test_the_process_ends_with_the_one_it_works_for(settings: Settings) -> None:
    with preparation(settings, beside=True) as opened:
        pid = opened.child_pid or 0
        os.kill(pid, 0)
    eventually(lambda: not _exists(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
