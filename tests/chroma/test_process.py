"""The child process that owns Chroma's folder: replacement, time limits, memory limit."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from memory_service.chroma.process import ChromaProcess
from memory_service.chroma.supervisor import ChildSupervisor, TimedOutError
from memory_service.core.errors import VectorIndexDown
from tests.support.storing import eventually

READ_SECONDS = 1.0
FAR_BELOW_START_AND_END = 15.0
"""A child may take 60 s to start and 30 s to end."""

ONE_VECTOR = np.eye(1, 4, dtype=np.float32)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ChromaProcess]:
    """Return an index that waits a second for each answer, with one vector in it."""
    opened = ChromaProcess(
        tmp_path / "chroma",
        embedder="t",
        dimension=4,
        read_seconds=READ_SECONDS,
        write_seconds=1,
    )
    opened.upsert(1, [1], [1], ONE_VECTOR)
    yield opened
    opened.close()


def pid(index: ChromaProcess) -> int:
    """Return the process id of the child."""
    assert index.child_pid is not None
    return index.child_pid


def seconds_until_query_fails(index: ChromaProcess) -> float:
    """Return how long a query takes to raise VectorIndexDown."""
    began = time.monotonic()
    with pytest.raises(VectorIndexDown):
        index.query(1, ONE_VECTOR[0], None, 1)
    return time.monotonic() - began


@pytest.fixture
def folder_lock(index: ChromaProcess, tmp_path: Path) -> Iterator[FileLock]:
    """Kill the child and hold the folder's lock: the next child hangs while it starts."""
    os.kill(pid(index), signal.SIGKILL)
    with FileLock(tmp_path / "chroma.lock") as lock:
        yield lock


@pytest.mark.parametrize("vectors", [1, 20_000], ids=["small", "larger-than-a-pipe"])
def test_child_that_hangs_in_a_write_is_replaced(index: ChromaProcess, vectors: int) -> None:
    before = pid(index)
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(VectorIndexDown, match="did not answer in 1 s"):
        index.upsert(1, range(vectors), [1] * vectors, np.ones((vectors, 4), dtype=np.float32))
    assert index.keys(1) == {1}
    assert index.child_pid != before


def test_child_that_hangs_in_a_query_is_replaced(index: ChromaProcess) -> None:
    before = pid(index)
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(VectorIndexDown, match="did not answer in 1 s"):
        index.query(1, np.ones(4, dtype=np.float32), None, 1)
    assert index.keys(1) == {1}
    assert index.child_pid != before


@pytest.mark.usefixtures("folder_lock")
def test_query_time_limit_while_a_child_does_not_start(index: ChromaProcess) -> None:
    assert seconds_until_query_fails(index) < FAR_BELOW_START_AND_END


def test_query_time_limit_while_another_thread_waits_for_a_start(
    index: ChromaProcess, folder_lock: FileLock
) -> None:
    before = pid(index)
    with ThreadPoolExecutor(1) as other_thread:
        keys = other_thread.submit(index.keys, 1)
        eventually(lambda: pid(index) != before)
        assert seconds_until_query_fails(index) < FAR_BELOW_START_AND_END
        assert not keys.done()
        folder_lock.release()
        assert keys.result() == {1}


def test_wait_for_a_child_is_limited_while_another_does_not_end(tmp_path: Path) -> None:
    hello = (str(tmp_path / "chroma"), "t", 4)
    supervisor = ChildSupervisor("memory_service.chroma.child", hello, ping_seconds=READ_SECONDS)
    before = supervisor.child()
    os.kill(before.pid, signal.SIGSTOP)
    supervisor.restart()
    began = time.monotonic()
    with pytest.raises(TimedOutError, match="not ready in 1 s"):
        supervisor.child(READ_SECONDS)
    assert time.monotonic() - began < FAR_BELOW_START_AND_END
    os.kill(before.pid, signal.SIGCONT)
    assert supervisor.child().pid != before.pid
    supervisor.close()


def test_child_that_answers_a_ping_is_kept(tmp_path: Path) -> None:
    hello = (str(tmp_path / "chroma"), "t", 4)
    supervisor = ChildSupervisor("memory_service.chroma.child", hello, ping_seconds=30)
    child = supervisor.child()
    supervisor.check(child)
    assert supervisor.child() is child
    supervisor.close()


def test_close_while_a_child_starts(index: ChromaProcess, folder_lock: FileLock) -> None:
    before = pid(index)
    with ThreadPoolExecutor(2) as other_threads:
        keys = other_threads.submit(index.keys, 1)
        eventually(lambda: pid(index) != before)
        closing = other_threads.submit(index.close)
        folder_lock.release()
        closing.result()
        assert keys.exception() is None or isinstance(keys.exception(), VectorIndexDown)
    with pytest.raises(VectorIndexDown, match="closed"):
        index.keys(1)


def test_child_that_cannot_be_started_is_tried_again_by_the_next_call(
    index: ChromaProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.kill(pid(index), signal.SIGKILL)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "missing"))
        eventually(lambda: _start_fails(index))
    assert index.keys(1) == {1}


def _start_fails(index: ChromaProcess) -> bool:
    """Return whether the last call tried to start a child; the killed one may seem alive first."""
    with pytest.raises(VectorIndexDown) as failed:
        index.keys(1)
    return "cannot be started: No such file" in failed.value.message


def test_reset_continues_with_an_empty_folder(index: ChromaProcess) -> None:
    before = pid(index)
    index.reset()
    assert index.keys(1) == set()
    assert pid(index) != before


def test_new_child_waits_for_an_orphan_to_leave_the_folder(
    index: ChromaProcess, tmp_path: Path
) -> None:
    orphan = pid(index)
    os.kill(orphan, signal.SIGSTOP)
    opened: list[ChromaProcess] = []
    opening = threading.Thread(
        target=lambda: opened.append(ChromaProcess(tmp_path / "chroma", embedder="t", dimension=4))
    )
    opening.start()
    opening.join(3)
    assert opening.is_alive()
    os.kill(orphan, signal.SIGKILL)
    opening.join(60)
    assert opened[0].keys(1) == {1}
    opened[0].close()


def test_child_memory_limit_against_damaged_files(index: ChromaProcess) -> None:
    limits = Path(f"/proc/{index.child_pid}/limits").read_text("ascii")
    (allowed,) = [line.split()[3] for line in limits.splitlines() if line.startswith("Max data")]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < int(allowed) <= machine / 2
