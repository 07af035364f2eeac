"""The options that several commands have, and reading the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memory_service.core import logs
from memory_service.core.settings import Settings, load_settings

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the data; default MEMORY_DATA_DIR or ~/.memory_service."),
]
ProjectName = Annotated[str, typer.Option(help="The project (tenant).")]


def read_settings(**overrides: object) -> Settings:
    """Return the settings of the environment with those of the command, and configure the logs."""
    settings = load_settings(**overrides)
    logs.configure(settings.log_format, settings.log_level)
    return settings
