"""The child process of an ingestion: prepares batches in the order they come."""

from __future__ import annotations

import os
import signal
import sys

from ingest.sinks.preparing import BatchPreparer
from memory_service.core import logs
from memory_service.core.gc_tuning import freeze_loaded_objects
from memory_service.subprocesses.wire import NICENESS, own_stdout, receive, send
from memory_service.text.languages import load_detector


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The same as for Chroma's process: the writer, which waits for both, has precedence.
    os.nice(NICENESS)
    requests, answers = sys.stdin.buffer, own_stdout()
    settings = receive(requests)
    logs.configure(settings.log_format, settings.log_level)
    preparer = BatchPreparer.of(settings)
    load_detector()
    freeze_loaded_objects()
    send(answers, (0, None))
    while True:
        try:
            number, _, (tasks,) = receive(requests)
            send(answers, (number, preparer.prepare(tasks)))
        except (EOFError, BrokenPipeError):
            # The parent has ended or was killed.
            return
