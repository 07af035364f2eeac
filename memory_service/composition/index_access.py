"""The log and its vector index alone, for commands that need no embedder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from memory_service.chroma.process import ChromaProcess
from memory_service.composition.data_folder import own_folder
from memory_service.composition.stored_properties import stored_embedder
from memory_service.turn_log.log import TurnLog


@contextmanager
def open_index(folder: Path, purpose: str) -> Iterator[tuple[TurnLog, ChromaProcess]]:
    """Open the log of a data folder and its vector index; raises StartupError if it is in use."""
    with own_folder(folder, purpose), ExitStack() as stack:
        log = TurnLog.open(folder)
        stack.callback(log.close)
        embedder = stored_embedder(log)
        index = ChromaProcess(
            folder / "chroma", embedder=embedder.name, dimension=embedder.dimension
        )
        stack.callback(index.close)
        yield log, index
