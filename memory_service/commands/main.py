"""The command `memory-service`: its subcommands, and how it reports errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from memory_service import __version__
from memory_service.commands.ask import ask
from memory_service.commands.export import export
from memory_service.commands.keys import keys_app
from memory_service.commands.quickstart import quickstart
from memory_service.commands.rebuild_index import rebuild_index
from memory_service.commands.serve import serve
from memory_service.commands.terminal import harmless, stderr
from memory_service.commands.verify import verify
from memory_service.core.errors import ServiceError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Store and recall conversations of any length, and build prompts that fit a model.",
    epilog="Every setting is an environment variable MEMORY_…: see docs/settings.md.",
)
app.command(epilog="Example: memory-service quickstart --data-dir ./demo")(quickstart)
app.command(epilog="Example: memory-service ask 'Where did I park?' --user mara")(ask)
app.command(epilog="Example: memory-service serve --port 8000 --data-dir ./data")(serve)
app.add_typer(keys_app, name="keys")
app.command(epilog="Example: memory-service verify --data-dir ./data")(verify)
app.command(epilog="Example: memory-service rebuild-index --data-dir ./data")(rebuild_index)
app.command(epilog="Example: memory-service export --out history.jsonl")(export)


def main() -> None:
    """Run the command; a known problem is one line on stderr and exit code 2."""
    try:
        app()
    except ServiceError as error:
        stderr().print(harmless(f"memory-service: {error.message}", style="red"), soft_wrap=True)
        sys.exit(2)


def _show_version(wanted: bool | None) -> None:  # noqa: FBT001 - typer passes the flag
    if wanted:
        typer.echo(f"memory_service {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool | None,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = None,
) -> None:
    """Store and recall conversations of any length, and build prompts that fit a model."""
