"""The process beside an ingestion: prepares batches in the order they come."""

from __future__ import annotations

import os
import signal
import sys

from ingest.preparing import Preparer
from memory_service.core import logs
from memory_service.core.gc_tuning import spare_what_is_there
from memory_service.subprocesses.wire import NICENESS, own_stdout, receive, send
from memory_service.text.languages import load_detector


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches the whole group of processes; the parent says when it is time to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As Chroma's process: the writer, whom both work for, comes first.
    os.nice(NICENESS)
    requests, answers = sys.stdin.buffer, own_stdout()
    settings = receive(requests)
    logs.configure(settings.log_format, settings.log_level)
    preparer = Preparer.of(settings)
    load_detector()
    spare_what_is_there()
    send(answers, (0, None))
    while True:
        try:
            number, _, (tasks,) = receive(requests)
            send(answers, (number, preparer.prepare(tasks)))
        except (EOFError, BrokenPipeError):
            # The parent has ended, or was killed and hears no answer.
            return
