"""Preparing batches before they are stored, in the calling thread and in a child process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ingest.sinks.preparing import (
    MAX_PREPARED_TURNS,
    PreparationQueue,
    PreparationTask,
    PreparedBatch,
)
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.settings import Settings
from tests.support.factories import message, new_turn
from tests.support.storing import eventually

TEXTS = ("Where is the grey coat?", "In the attic, behind the skis.", "", "Zwei Straßen weiter 🦊")


@contextmanager
def open_queue(settings: Settings, *, in_child: bool) -> Iterator[PreparationQueue]:
    queue = PreparationQueue(settings, in_child=in_child)
    try:
        yield queue
    finally:
        queue.close()


def tasks() -> list[PreparationTask]:
    turns = [new_turn(message(text)) for text in TEXTS]
    return [
        PreparationTask(turns, wants_preparation=True),
        PreparationTask(turns[:1], wants_preparation=False),
    ]


def assert_same_plan(first: PreparedTurns | None, second: PreparedTurns | None) -> None:
    assert first is not None
    assert second is not None
    assert first.language == second.language
    assert list(first.passages) == list(second.passages)
    for turn, passages in first.passages.items():
        for mine, theirs in zip(passages, second.passages[turn], strict=True):
            assert (mine.ordinal, mine.start, mine.end) == (
                theirs.ordinal,
                theirs.start,
                theirs.end,
            )
            assert (mine.tf, mine.length) == (theirs.tf, theirs.length)
            assert (mine.vector is None) == (theirs.vector is None)
            if mine.vector is not None and theirs.vector is not None:
                np.testing.assert_array_equal(mine.vector, theirs.vector)


def prepare(settings: Settings, batch: list[PreparationTask], *, in_child: bool) -> PreparedBatch:
    with open_queue(settings, in_child=in_child) as queue:
        return queue.result(batch, queue.submit(batch))


def test_child_process_prepares_the_same_batch(settings: Settings) -> None:
    batch = tasks()
    in_thread, in_child = (prepare(settings, batch, in_child=value) for value in (False, True))
    assert in_thread.tokens == in_child.tokens > 0
    assert in_thread.counter == in_child.counter
    assert_same_plan(in_thread.prepared_turns[0], in_child.prepared_turns[0])
    assert in_thread.prepared_turns[1] is None
    assert in_child.prepared_turns[1] is None


def test_plan_covers_turns_without_text(settings: Settings) -> None:
    batch = tasks()
    (prepared, _) = prepare(settings, batch, in_child=False).prepared_turns
    assert prepared is not None
    assert prepared.covers(None, batch[0].turns)
    assert not prepared.covers(None, [new_turn(message("another"))])
    assert not prepared.covers("fi", batch[0].turns)


def test_batches_of_killed_child_are_prepared_here(settings: Settings) -> None:
    batch = tasks()
    with open_queue(settings, in_child=True) as queue:
        queue.result(batch, queue.submit(batch))
        os.kill(queue.child_pid or 0, signal.SIGKILL)
        futures = [queue.submit(batch) for _ in range(3)]
        prepared = [queue.result(batch, future) for future in futures]
    assert [result.tokens for result in prepared] == [prepared[0].tokens] * 3
    assert_same_plan(prepared[0].prepared_turns[0], prepared[2].prepared_turns[0])


def test_plan_of_long_transcript_is_limited(settings: Settings) -> None:
    turns = [new_turn(message("short")) for _ in range(MAX_PREPARED_TURNS + 1)]
    prepared = prepare(settings, [PreparationTask(turns, wants_preparation=True)], in_child=False)
    assert prepared.prepared_turns[0] is not None
    assert len(prepared.prepared_turns[0].passages) == MAX_PREPARED_TURNS
    assert prepared.tokens >= MAX_PREPARED_TURNS + 1


@pytest.mark.parametrize("embedder", ["openai", "chroma:default"])
def test_plan_has_no_vectors_of_other_embedders(settings: Settings, embedder: str) -> None:
    chosen = settings.model_copy(update={"embedder": embedder})
    (prepared, _) = prepare(chosen, tasks(), in_child=False).prepared_turns
    assert prepared is not None
    passages = [passage for passages in prepared.passages.values() for passage in passages]
    assert passages
    assert all(passage.vector is None for passage in passages)


def test_child_process_ends_with_its_queue(settings: Settings) -> None:
    with open_queue(settings, in_child=True) as queue:
        pid = queue.child_pid or 0
        os.kill(pid, 0)
    eventually(lambda: not _exists(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
