"""The command `memory-ingest`: old transcripts into a data folder or a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ingest.formats import FORMATS
from ingest.pipeline import Report, ingest
from ingest.sinks import LocalSink, ServerSink, Sink
from ingest.transcripts import Options
from memory_service import logs
from memory_service.errors import ServiceError, StartupError
from memory_service.service import LOCAL_PROJECT
from memory_service.settings import load_settings
from memory_service.terminal import harmless, stderr, stdout

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; a known problem is one message on stderr and exit code 2."""
    try:
        app()
    except ServiceError as error:
        stderr().print(harmless(f"memory-ingest: {error.message}", style="red"), soft_wrap=True)
        sys.exit(2)


@app.command(
    epilog="Examples: memory-ingest history.jsonl --user mara · "
    "memory-ingest history.jsonl --url http://127.0.0.1:8000 --api-key msk_…"
)
def run(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Transcripts to read.")],
    format_name: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; else recognised by content."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder to store in; default as for memory-service.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Server to store in, instead.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Its API key, if it needs one.")] = None,
    project: Annotated[
        str | None, typer.Option(help="Project in a local folder (a server's is the key's).")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose conversations these are.")] = None,
    quiet: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--quiet", help="No progress, no report.")
    ] = False,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="The report as JSON on the last line.")
    ] = False,
) -> None:
    """Store old transcripts; running it again stores nothing twice.

    Exits 0, 1 if some records could not be used, or 2 if nothing could.
    """
    with _sink(data_dir, url, api_key, project) as sink, _progress(files, quiet=quiet) as shown:
        report = ingest(files, format_name, sink, user=user, options=Options(), on_progress=shown)
        sink.finish(shown.indexing)
    if not quiet:
        _show(report)
    if as_json:
        typer.echo(json.dumps(_as_dict(report), ensure_ascii=False))
    raise typer.Exit(report.exit_code)


def _sink(data_dir: Path | None, url: str | None, api_key: str | None, project: str | None) -> Sink:
    settings = load_settings(data_dir=data_dir, log_level="warning")
    logs.configure(settings.log_format, settings.log_level)
    if url is None:
        if api_key is not None:
            raise StartupError("--api-key goes with --url; a local folder needs none.")
        return LocalSink(settings, project or LOCAL_PROJECT)
    if data_dir is not None:
        raise StartupError("Give --data-dir or --url, not both.")
    if project is not None:
        raise StartupError("On a server the API key decides the project: leave --project out.")
    return ServerSink(url, api_key)


class _Shown:
    """The progress bar: bytes of the files while reading, then vectors still to be indexed."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("Reading and storing", total=total, turns=0)
        self._most = 0

    def __call__(self, position: int, turns: int) -> None:
        """Note how far the file at hand is read, and how many turns are stored."""
        self._most = max(self._most, position)
        self._progress.update(self._task, completed=self._most, turns=turns)

    def indexing(self, lag: int) -> None:
        """Note how many vectors are still to come."""
        self._progress.update(self._task, description=f"Indexing, {lag:,} to go")


@contextmanager
def _progress(files: list[Path], *, quiet: bool) -> Iterator[_Shown]:
    total = sum(path.stat().st_size for path in files if path.is_file())
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[turns]:,} turns stored"),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
        disable=quiet,
    ) as progress:
        yield _Shown(progress, total)


def _show(report: Report) -> None:
    console = stdout()
    conversations, turns = report.conversations, report.turns
    console.print(
        f"{report.format}: {conversations['read']:,} conversations read, "
        f"{conversations['stored']:,} stored, {conversations['grown']:,} grown, "
        f"{conversations['unchanged']:,} unchanged; {turns['read']:,} turns read, "
        f"{turns['stored']:,} stored, {turns['already_there']:,} already there."
    )
    if report.first is not None:
        console.print(f"From {report.first} to {report.last}.")
    for reason, count in report.skipped.items():
        console.print(f"Skipped, {reason}: {count:,} turns.")
    for warning in report.warnings:
        console.print(
            harmless(f"{warning['file']}, record {warning['record']}: {warning['message']}")
        )


def _as_dict(report: Report) -> dict[str, object]:
    return {
        "format": report.format,
        "conversations": dict(report.conversations),
        "turns": {**report.turns, "skipped": dict(report.skipped)},
        "warnings": report.warnings,
        "first": report.first,
        "last": report.last,
    }
