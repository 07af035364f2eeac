"""What the commands share on a terminal: options that are files, progress, tables' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from memory_service.commands.terminal import harmless, stderr


def input_file(text: str) -> Any:
    """Return an option that is a file which is there."""
    return typer.Option(exists=True, dir_okay=False, help=text)


def output_file(text: str) -> Any:
    """Return an option that is a file to write, in a folder which is there."""
    return typer.Option(dir_okay=False, callback=in_a_folder, help=text)


def in_a_folder(path: Path | None) -> Path | None:
    """Check that a file could be written there; raises BadParameter before hours of work."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def progress_bar() -> Progress:
    """Return a progress bar on standard error, which leaves nothing behind."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=stderr(), transient=True)


def complain(command: str, error: Exception) -> typer.Exit:
    """Say in one line what went wrong; return what ends the command with status 1."""
    stderr().print(harmless(f"{command}: {error}", style="red"))
    return typer.Exit(1)
