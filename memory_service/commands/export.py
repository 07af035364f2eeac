"""`memory-service export`: conversations as JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from memory_service.commands.options import DataDir, ProjectName, read_settings
from memory_service.composition.data_folder import open_log
from memory_service.conversations.export import export_lines
from memory_service.core.errors import StartupError
from memory_service.service import LOCAL_PROJECT


def export(
    data_dir: DataDir = None,
    project: ProjectName = LOCAL_PROJECT,
    user: Annotated[str | None, typer.Option(help="Only this user's conversations.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
) -> None:
    """Write conversations as JSON lines; `memory-ingest` reads them back without loss."""
    log = open_log(read_settings(data_dir=data_dir).data_dir)
    try:
        lines = export_lines(log, project, user)
        if out is None:
            for line in lines:
                sys.stdout.write(line + "\n")
        else:
            with out.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(line + "\n" for line in lines)
    except OSError as error:
        raise StartupError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        log.close()
