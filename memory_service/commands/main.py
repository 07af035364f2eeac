"""The command `memory-service`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from memory_service import __version__
from memory_service.commands.ask import ask as ask_own_data
from memory_service.commands.quickstart import run_quickstart
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.conversations.export import export_lines
from memory_service.core import clock, logs
from memory_service.core.clock import to_datetime
from memory_service.core.errors import NotFound, ServiceError, StartupError
from memory_service.core.models import Verification
from memory_service.core.settings import Settings, load_settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.maintenance.verify import Verifier
from memory_service.server import serve as run_server
from memory_service.service import LOCAL_PROJECT, made_with, open_index, open_log
from memory_service.vector_index.rebuild import Rebuild

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Conversations without end for any agent: every turn kept, the right ones back.",
    epilog="Every setting is an environment variable MEMORY_…: see docs/settings.md.",
)
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys_app, name="keys")

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the data; default MEMORY_DATA_DIR or ~/.memory_service."),
]
ProjectName = Annotated[str, typer.Option(help="The project (tenant).")]


def main() -> None:
    """Run the command; a known problem is one line on stderr and exit code 2."""
    try:
        app()
    except ServiceError as error:
        stderr().print(harmless(f"memory-service: {error.message}", style="red"), soft_wrap=True)
        sys.exit(2)


def _show_version(wanted: bool | None) -> None:  # noqa: FBT001 - typer hands the flag over
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
    """Conversations without end for any agent: every turn kept, the right ones back."""


@app.command(epilog="Example: memory-service quickstart --data-dir ./demo")
def quickstart(
    data_dir: DataDir = None,
    question: Annotated[
        str | None, typer.Option(help="Ask the bundled conversation something else.")
    ] = None,
    token_budget: Annotated[int, typer.Option(help="Tokens of the prompt.", min=300)] = 1_500,
) -> None:
    """Store a bundled conversation, ask about its beginning, and show the prompt that is built."""
    settings = _settings(data_dir=data_dir, port=0, log_level="error")
    run_quickstart(settings, question, token_budget)


@app.command(epilog="Example: memory-service ask 'Where did I park?' --user mara")
def ask(
    question: Annotated[str, typer.Argument(help="What a user would say next.")],
    conversation: Annotated[
        str | None, typer.Option(help="Ask in this conversation, about it alone.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Ask in this user's newest conversation, about all of them.")
    ] = None,
    data_dir: DataDir = None,
    project: ProjectName = LOCAL_PROJECT,
    token_budget: Annotated[int, typer.Option(help="Tokens of the prompt.", min=300)] = 2_000,
) -> None:
    """Show the prompt that a question would get: its parts, and why each turn is in it or not."""
    settings = _settings(data_dir=data_dir, log_level="error")
    ask_own_data(
        settings,
        question,
        project=project,
        conversation=conversation,
        user=user,
        token_budget=token_budget,
    )


@app.command(epilog="Example: memory-service serve --port 8000 --data-dir ./data")
def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
) -> None:
    """Serve the HTTP API until it is told to stop (Ctrl-C, SIGTERM)."""
    settings = _settings(data_dir=data_dir, host=host, port=port, log_format=log_format)
    # uvicorn finishes the open requests and raises the signal again; SIGTERM then is as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_server(settings)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@keys_app.command("create", epilog="Example: memory-service keys create --project acme")
def create_key(
    project: Annotated[str, typer.Option(help="The project it opens; made if it is new.")],
    data_dir: DataDir = None,
) -> None:
    """Make an API key and show it once, alone on the last line. From then on keys are required."""
    settings = _settings(data_dir=data_dir)
    if not project.strip() or len(project) > 128:
        raise StartupError("A project's name has 1 to 128 characters.")
    log = open_log(settings.data_dir)
    try:
        with log.write() as transaction:
            key = transaction.api_keys.create(
                transaction.projects.ensure(project.strip(), clock.now()), clock.now()
            )
    finally:
        log.close()
    typer.echo(f"A key for project {project.strip()!r}; it is not shown again:", err=True)
    typer.echo(key)


@keys_app.command("list", epilog="Example: memory-service keys list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the keys: number, project, last four characters, when made and revoked."""
    log = open_log(_settings(data_dir=data_dir).data_dir)
    try:
        with log.read() as snapshot:
            keys = snapshot.api_keys.all()
    finally:
        log.close()
    table = Table("number", "project", "key", "made", "revoked")
    for key in keys:
        table.add_row(
            str(key.id),
            harmless(key.project),
            f"…{key.hint}",
            _day(key.created_at),
            "" if key.revoked_at is None else _day(key.revoked_at),
        )
    stdout().print(table)


@keys_app.command("revoke", epilog="Example: memory-service keys revoke 3")
def revoke_key(
    number: Annotated[int, typer.Argument(help="The key's number in 'keys list'.")],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key; a running server refuses it from its next request on."""
    log = open_log(_settings(data_dir=data_dir).data_dir)
    try:
        with log.write() as transaction:
            revoked = transaction.api_keys.revoke(number, clock.now())
    finally:
        log.close()
    if not revoked:
        raise NotFound(f"No valid key has the number {number}; see 'keys list'.")
    typer.echo(f"Key {number} is revoked.")


@app.command(epilog="Example: memory-service verify --data-dir ./data")
def verify(data_dir: DataDir = None) -> None:
    """Derive again what can be derived from the log and compare; exits 1 if anything differs."""
    settings = _settings(data_dir=data_dir, log_level="warning")
    with open_index(settings, "memory-service verify") as (log, index):
        embedder, dimension = made_with(log)
        verifier = Verifier(
            log,
            # Others may cost money, or be elsewhere.
            LocalEmbedder() if embedder == LocalEmbedder.name else None,
            index,
            dimension=dimension,
            passage_words=settings.passage_words,
            passage_overlap_words=settings.passage_overlap_words,
        )
        with Progress(console=stderr(), transient=True) as progress:
            task = progress.add_task("Comparing conversations", total=None)
            result = verifier.run(lambda: progress.advance(task))
    _report(result)
    if result.findings:
        raise typer.Exit(1)


@app.command(epilog="Example: memory-service rebuild-index --data-dir ./data")
def rebuild_index(data_dir: DataDir = None) -> None:
    """Build the vector index anew from the turn log; asks no embedder. After a kill it goes on."""
    settings = _settings(data_dir=data_dir, log_level="warning")
    with (
        open_index(settings, "memory-service rebuild-index") as (log, index),
        Progress(console=stderr(), transient=True) as progress,
    ):
        task = progress.add_task("Building", total=None)
        result = Rebuild(log, index, batch=settings.index_batch).run(
            lambda done, total: progress.update(task, completed=done, total=total)
        )
    went_on = " (going on where the last one was cut short)" if result.resumed else ""
    typer.echo(
        f"The index has {result.vectors:,} vectors in {result.collections:,} collections{went_on}."
    )
    if result.waiting:
        typer.echo(f"{result.waiting:,} changes wait in the queue for the next start.")


@app.command(epilog="Example: memory-service export --out history.jsonl")
def export(
    data_dir: DataDir = None,
    project: ProjectName = LOCAL_PROJECT,
    user: Annotated[str | None, typer.Option(help="Only this user's conversations.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
) -> None:
    """Write conversations as JSON lines, one a line, lossless: `memory-ingest` reads them back."""
    log = open_log(_settings(data_dir=data_dir).data_dir)
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


def _settings(**overrides: object) -> Settings:
    settings = load_settings(**overrides)
    logs.configure(settings.log_format, settings.log_level)
    return settings


def _report(result: Verification) -> None:
    console = stdout()
    counts = ", ".join(f"{count:,} {name}" for name, count in result.checked.items()) or "nothing"
    console.print(harmless(f"Compared {counts}."))
    if not result.findings:
        console.print("Everything agrees.")
        return
    table = Table("check", "where", "what")
    for finding in result.findings:
        table.add_row(finding.check, harmless(finding.subject), harmless(finding.message))
    console.print(table)
    console.print(f"{len(result.findings)} findings.")


def _day(microseconds: int) -> str:
    return to_datetime(microseconds).strftime("%Y-%m-%d %H:%M UTC")
