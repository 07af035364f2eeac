"""Shared by the commands: settings, file options, progress bars, error lines."""

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
from memory_service.core import logs
from memory_service.core.settings import Settings, load_settings


def quiet_settings(log_level: str, **values: Any) -> Settings:
    """Return the settings of the environment with other values, and log from that level on."""
    settings = load_settings(log_level=log_level, **values)
    logs.configure(settings.log_format, settings.log_level)
    return settings


def input_file(text: str) -> Any:
    """Return an option that names an existing file."""
    return typer.Option(exists=True, dir_okay=False, help=text)


def output_file(text: str) -> Any:
    """Return an option that names a file to write, in an existing folder."""
    return typer.Option(dir_okay=False, callback=_check_folder, help=text)


def _check_folder(path: Path | None) -> Path | None:
    """Raise BadParameter, before hours of work, if the folder of an output file is missing."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def progress_bar() -> Progress:
    """Return a progress bar on standard error that is cleared when it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=stderr(), transient=True)


def complain(command: str, error: Exception) -> typer.Exit:
    """Print an error as one line; return the exception that ends the command with status 1."""
    stderr().print(harmless(f"{command}: {error}", style="red"))
    return typer.Exit(1)
