"""The process that owns Chroma's folder.

Chroma's writes hold the interpreter's lock (256 vectors for about 0.1 s); here they stall nobody
else. Requests come on standard input from the one parent, and answers leave on standard output. The
child ends with its input.
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
from memory_service.core.gc_tuning import spare_what_is_there
from memory_service.subprocesses.wire import NICENESS, own_stdout, receive, send

_QUERY_THREADS = 2
# A parent that was killed leaves a child that finishes its batch; its successor waits for it.
_LOCK_SECONDS = 50.0
# glibc's mallopt: fill memory with this byte when it is handed out, and with its complement before.
_M_PERTURB, _FILLING = -6, 0x5A
_MEMORY_SHARE = 0.5
"""Of the machine's memory, or of the container's."""
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches the whole group of processes; the parent says when it is time to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Who waits for an answer comes first; what is not indexed yet is found all the same.
    os.nice(NICENESS)
    _fill_new_memory()
    _bound_memory()
    requests, answers = sys.stdin.buffer, own_stdout()
    folder, embedder, dimension = receive(requests)
    try:
        lock = _own(Path(folder))
        index = ChromaIndex(Path(folder), embedder=embedder, dimension=dimension)
    except ServiceError as error:
        send(answers, (0, _as_error(error)))
        return
    spare_what_is_there()
    send(answers, (0, None))
    _serve(index, requests, answers)
    index.close()
    lock.release()


def _fill_new_memory() -> None:
    """Keep what was deleted out of the unused parts of files.

    Chroma writes out blocks of memory it never filled: a new collection's file held vectors that
    had been deleted from another. Where the C library is not glibc, nothing prevents that.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_PERTURB, _FILLING)


def _bound_memory() -> None:
    """Let a damaged file be an error instead of the end of all memory.

    Sizes in a file that a kill tore may be anything: one collection of 765,000 vectors took 17 GB
    within 15 seconds of being loaded, where a whole one takes 1.2 GB.
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


def _own(folder: Path) -> FileLock:
    """Hold the folder: two processes that write one lose vectors without an error."""
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
        except BaseException as error:  # noqa: BLE001 - a panic of Chroma's Rust is no Exception
            result = VectorIndexDown(f"The vector index failed: {type(error).__name__}: {error}.")
        with sending:
            send(answers, (number, result))

    with ThreadPoolExecutor(_QUERY_THREADS) as reading, ThreadPoolExecutor(1) as writing:
        while True:
            try:
                number, name, arguments = receive(requests)
            except EOFError:
                # Nobody is left to hear the answers; what is not done is still in the log's queue.
                reading.shutdown(wait=False, cancel_futures=True)
                writing.shutdown(wait=False, cancel_futures=True)
                return
            if name == "ping":
                answer(number, _nothing)
                continue
            pool = writing if name in WRITES else reading
            pool.submit(answer, number, partial(getattr(index, name), *arguments))


def _nothing() -> None:
    """Answer a ping: whoever waits for it knows that this process runs."""


def _as_error(error: ServiceError) -> VectorIndexDown:
    return VectorIndexDown(error.message)
