"""`memory-service serve`: the HTTP API."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from memory_service.commands.options import DataDir, read_settings
from memory_service.server import serve as run_server


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The user of clients that name none: your own name on your machine."),
    ] = None,
) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM."""
    settings = read_settings(
        data_dir=data_dir, host=host, port=port, log_format=log_format, default_user=user
    )
    # uvicorn finishes the open requests and raises the signal again: SIGTERM acts as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_server(settings)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
