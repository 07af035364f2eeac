"""`memory-service rebuild-index`: build the vector index again from the turn log."""

from __future__ import annotations

import typer
from rich.progress import Progress

from memory_service.commands.options import DataDir, read_settings
from memory_service.commands.terminal import stderr
from memory_service.composition.index_access import open_index
from memory_service.vector_index.rebuild import Rebuild


def rebuild_index(data_dir: DataDir = None) -> None:
    """Build the vector index again from the turn log, without an embedder; resumes after a kill."""
    settings = read_settings(data_dir=data_dir, log_level="warning")
    with (
        open_index(settings.data_dir, "memory-service rebuild-index") as (log, index),
        Progress(console=stderr(), transient=True) as progress,
    ):
        task = progress.add_task("Building", total=None)
        result = Rebuild(log, index, batch=settings.index_batch).run(
            lambda done, total: progress.update(task, completed=done, total=total)
        )
    resumed = " (resumed after an interruption)" if result.resumed else ""
    typer.echo(
        f"The index has {result.vectors:,} vectors in {result.collections:,} collections{resumed}."
    )
    if result.waiting:
        typer.echo(f"{result.waiting:,} changes wait in the queue for the next start.")
