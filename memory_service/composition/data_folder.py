"""The data folder: made for its owner only, and held by one process at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memory_service.core.errors import StartupError
from memory_service.turn_log.log import TurnLog

_LOCK_NAME = "lock"
_HOLDER_NAME = "lock.holder"


def prepare_folder(folder: Path) -> Path:
    """Make the data folder, readable by its owner only; raises StartupError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StartupError(
            f"The data folder {folder} cannot be used: {error.strerror}. "
            "Choose another with --data-dir or MEMORY_DATA_DIR."
        ) from error
    return folder


def open_log(folder: Path) -> TurnLog:
    """Open the turn log alone: safe while a server runs, which owns the vector index."""
    return TurnLog.open(prepare_folder(folder))


@contextmanager
def own_folder(folder: Path, purpose: str) -> Iterator[None]:
    """Hold the data folder: two processes that write one Chroma folder lose vectors silently.

    Raises StartupError if another process holds it; `purpose` describes this process in
    the error that another one gets.
    """
    prepare_folder(folder)
    lock, holder = FileLock(folder / _LOCK_NAME), folder / _HOLDER_NAME
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StartupError(_held_message(folder, holder)) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "purpose": purpose}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _held_message(folder: Path, holder: Path) -> str:
    try:
        held = json.loads(holder.read_text())
        process = f"process {held['pid']} ({held['purpose']})"
    except (OSError, ValueError, KeyError):
        process = "another process"
    return (
        f"The data folder {folder} is in use by {process}. Stop it, choose another folder with "
        "--data-dir, or, if it is a server, send your data to it with --url."
    )
