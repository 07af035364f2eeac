"""The child process that owns Chroma's folder.

Chroma's writes hold the interpreter's lock (256 vectors for about 0.1 s); in a process of their own
they do not stall requests. The parent sends calls on standard input and reads answers from standard
output. The child ends when its input ends.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from memory_service.chroma.index import ChromaIndex
from memory_service.chroma.process import WRITES
from memory_service.core.errors import ServiceError, VectorIndexDown
from memory_service.core.gc_tuning import freeze_loaded_objects
from memory_service.subprocesses.wire import NICENESS, own_stdout, receive, send

_QUERY_THREADS = 2
# A killed parent leaves a child that finishes its batch; the next child waits for that one to end.
_LOCK_SECONDS = 50.0
# glibc's mallopt: freed memory is filled with this byte, allocated memory with its complement.
_M_PERTURB, _FILLING = -6, 0x5A
_MEMORY_SHARE = 0.5
"""Share of the machine's or the container's memory that the child may use."""
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches the whole process group; the parent decides when the child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Requests come before indexing: recall finds passages that are not indexed yet as well.
    os.nice(NICENESS)
    _fill_new_memory()
    _limit_memory()
    requests, answers = sys.stdin.buffer, own_stdout()
    folder, embedder, dimension = receive(requests)
    try:
        lock = _lock(Path(folder))
        index = ChromaIndex(Path(folder), embedder=embedder, dimension=dimension)
    except ServiceError as error:
        send(answers, (0, _as_error(error)))
        return
    freeze_loaded_objects()
    send(answers, (0, None))
    _serve(index, requests, answers)
    index.close()
    lock.release()


def _fill_new_memory() -> None:
    """Overwrite freed memory, so that deleted data cannot get into unused parts of files.

    Chroma writes memory to files that it has not filled before: a new collection's file held
    vectors that had been deleted from another. Only glibc has this setting.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_PERTURB, _FILLING)


def _limit_memory() -> None:
    """Limit this process's memory, so that a damaged file cannot use up the machine's.

    The sizes in a half-written file may be any number: loading a damaged collection of 765,000
    vectors took 17 GB within 15 seconds, where an undamaged one takes 1.2 GB.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        # Bytes, or "max".
        container = int(_CONTAINER_LIMIT.read_text("ascii"))
    except (OSError, ValueError):
        container = machine
    most = int(min(machine, container) * _MEMORY_SHARE)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )


def _lock(folder: Path) -> FileLock:
    """Lock the folder: vectors are lost without an error if two processes write it."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        raise VectorIndexDown("Another process still writes the vector index's folder.") from error
    return lock


def _serve(index: ChromaIndex, requests: IO[bytes], answers: IO[bytes]) -> None:
    sending = threading.Lock()

    def answer(number: int, work: Callable[[], Any]) -> None:
        try:
            result = work()
        except ServiceError as error:
            result = _as_error(error)
        except BaseException as error:  # noqa: BLE001 - panics of Chroma's Rust are no Exception
            result = VectorIndexDown(f"The vector index failed: {type(error).__name__}: {error}.")
        with sending:
            send(answers, (number, result))

    with ThreadPoolExecutor(_QUERY_THREADS) as reading, ThreadPoolExecutor(1) as writing:
        while True:
            try:
                number, name, arguments = receive(requests)
            except EOFError:
                # The parent has ended; changes that are not done are still in the log's queue.
                reading.shutdown(wait=False, cancel_futures=True)
                writing.shutdown(wait=False, cancel_futures=True)
                return
            if name == "ping":
                answer(number, _nothing)
                continue
            pool = writing if name in WRITES else reading
            pool.submit(answer, number, partial(getattr(index, name), *arguments))


def _nothing() -> None:
    """Answer a ping, which shows that this process can answer."""


def _as_error(error: ServiceError) -> VectorIndexDown:
    return VectorIndexDown(error.message)
