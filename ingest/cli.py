"""The command `memory-ingest`: store old conversations in a data folder or a server."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from io import TextIOWrapper
from pathlib import Path
from threading import Event
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from ingest.formats import FORMATS
from ingest.pipeline.ingestion import Ingestion
from ingest.pipeline.report import IngestReport
from ingest.pipeline.selection import TranscriptSelection
from ingest.progress import show_progress
from ingest.sinks.dry_run import DryRunSink
from ingest.sinks.local import LocalSink
from ingest.sinks.server import ServerSink
from ingest.sinks.sink import Sink
from ingest.transcripts import FormatOptions
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core import logs
from memory_service.core.errors import ServiceError, StartupError
from memory_service.core.gc_tuning import freeze_loaded_objects
from memory_service.core.models import MICROSECONDS
from memory_service.core.settings import Settings, load_settings
from memory_service.items.fields import check_user_id
from memory_service.items.strict_json import check_text
from memory_service.service import LOCAL_PROJECT

FAILED = 2
"""The exit code when nothing could be used, or the ingestion failed."""
INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, by the convention of shells."""

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; a known problem is one message on stderr and exit code 2."""
    freeze_loaded_objects()
    _escape_unprintable_characters()
    try:
        app()
    except ServiceError as error:
        _print_error(error.message)
        sys.exit(FAILED)


@app.command(
    epilog="Examples: memory-ingest chatgpt-export.zip --user me · "
    "memory-ingest ~/Downloads/claude-data.zip --user me --since 2024-01-01 --dry-run · "
    "memory-ingest history.jsonl --url http://127.0.0.1:8000 --api-key msk_…"
)
def run(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Exports: files, folders or ZIPs.")
    ],
    format_name: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; default: recognised by content."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder to store in; default as for memory-service.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Server to store in, instead.")] = None,
    api_key: Annotated[str | None, typer.Option(help="API key of the server.")] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Project in a local folder; on a server the API key decides."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="User to whom the conversations belong.")] = None,
    branches: Annotated[
        Literal["live", "all"],
        typer.Option(
            help="Of edited or regenerated conversations: the active branch (live), or all."
        ),
    ] = "live",
    reasoning: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--reasoning", help="Store the model's reasoning too.")
    ] = False,
    sidechains: Annotated[  # noqa: FBT002 - a command line flag
        bool,
        typer.Option(
            "--sidechains", help="Store conversations among agents too, as separate ones."
        ),
    ] = False,
    date_order: Annotated[
        Literal["dmy", "mdy", "ymd"] | None,
        typer.Option(help="Order of dates such as 03/04/24; default: detected."),
    ] = None,
    zone: Annotated[
        str, typer.Option(help="Time zone of times without one, such as Europe/Oslo.")
    ] = "UTC",
    since: Annotated[
        str | None, typer.Option(help="Only conversations with a turn at or after this time.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Only conversations that began before this time, or by this day's end."),
    ] = None,
    title_matches: Annotated[
        str | None, typer.Option(help="Only conversations whose title matches this regex.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first conversations, this many.")
    ] = None,
    dry_run: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--dry-run", help="Store nothing; report what would be stored.")
    ] = False,
    quiet: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--quiet", help="Show no progress and no report.")
    ] = False,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="Print the report as JSON on the last line.")
    ] = False,
) -> None:
    """Store old conversations; running it again stores only what is new.

    Ctrl-C stops it between two conversations, and the same command continues from there. Exits with
    0, with 1 if some records could not be used, or with 2 if nothing could.
    """
    settings = load_settings(data_dir=data_dir, log_level="error")
    logs.configure(settings.log_format, settings.log_level)
    time_zone = _zone(zone)
    selection = TranscriptSelection(
        since=None if since is None else _time(since, time_zone, "--since"),
        until=None if until is None else _time(until, time_zone, "--until", end_of_day=True),
        title=None if title_matches is None else _pattern(title_matches),
        limit=limit,
    )
    options = FormatOptions(
        branches="all" if branches == "all" else "active",
        reasoning=reasoning,
        sidechains=sidechains,
        date_order=date_order,
        zone=time_zone,
    )
    if user is not None:
        check_user_id(user, "--user")
    target = _sink(settings, url, api_key, project, dry_run=dry_run, data_dir=data_dir)
    try:
        with _stop_on_ctrl_c() as stop, target as sink:
            result = _ingest(
                Ingestion(sink, options=options, selection=selection, user=user, settings=settings),
                sink,
                files,
                format_name,
                stop,
                quiet=quiet,
            )
    except ServiceError:
        if as_json:
            _print_json(IngestReport())
        raise
    if not quiet:
        result.report.show(dry_run=dry_run)
    if result.reason is not None:
        _print_error(f"{result.reason} Run the same command again to continue.")
    if as_json:
        _print_json(result.report)
    raise typer.Exit(result.exit_code)


class _Result(NamedTuple):
    """How an ingestion ended; `reason` is given if it ended early."""

    report: IngestReport
    reason: str | None
    exit_code: int


def _ingest(
    ingestion: Ingestion,
    sink: Sink,
    files: list[Path],
    format_name: str | None,
    stop: Event,
    *,
    quiet: bool,
) -> _Result:
    """Store and index until the end or until `stop`; raises ServiceError if nothing was read."""
    report = ingestion.report
    with show_progress(stderr(), quiet=quiet) as display:

        def on_progress(done: int, total: int, turns: int) -> bool:
            display.reading(done, total, turns)
            return not stop.is_set()

        def on_lag(lag: int) -> bool:
            display.indexing(lag)
            return not stop.is_set()

        try:
            ingestion.run(files, format_name, on_progress)
            sink.finish(on_lag)
        except ServiceError as error:
            if report.conversations["read"] == 0:
                raise
            return _Result(report, error.message, FAILED)
    if stop.is_set():
        return _Result(report, "Stopped.", INTERRUPTED)
    return _Result(report, None, report.exit_code)


def _print_json(report: IngestReport) -> None:
    file = stdout().file
    file.write(json.dumps(report.as_dict(), ensure_ascii=True) + "\n")
    # If the reader has closed the pipe, the command fails here and not after its end.
    file.flush()


def _print_error(message: str) -> None:
    stderr().print(harmless(f"memory-ingest: {message}", style="red"), soft_wrap=True)


def _escape_unprintable_characters() -> None:
    """Escape what the terminal's encoding does not have, such as bytes of a file's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _sink(
    settings: Settings,
    url: str | None,
    api_key: str | None,
    project: str | None,
    *,
    dry_run: bool,
    data_dir: Path | None,
) -> Sink:
    if url is None:
        if api_key is not None:
            raise StartupError("--api-key is for --url; a local folder needs no key.")
        local = DryRunSink if dry_run else LocalSink
        return local(settings, check_text(project or LOCAL_PROJECT, "--project"))
    if data_dir is not None:
        raise StartupError("Give --data-dir or --url, not both.")
    if project is not None:
        raise StartupError("On a server the API key decides the project: leave --project out.")
    if dry_run:
        raise StartupError("--dry-run reads a local folder: leave --url out.")
    return ServerSink(url, api_key)


@contextmanager
def _stop_on_ctrl_c() -> Iterator[Event]:
    """Yield an event that the first Ctrl-C sets; the second one ends the program at once."""
    stop = Event()

    def handle(_signal: int, _frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise StartupError(f"--zone: {name!r} is not a time zone such as Europe/Oslo.") from error


def _time(text: str, zone: tzinfo, option: str, *, end_of_day: bool = False) -> int:
    try:
        time = datetime.fromisoformat(text)
        if end_of_day and len(text) <= len("2024-05-31"):
            time += timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise StartupError(
            f"{option}: {text!r} is not a date or time such as 2024-05-31 or 2024-05-31T18:00."
        ) from error
    aware = time if time.tzinfo else time.replace(tzinfo=zone)
    return round(aware.timestamp() * MICROSECONDS)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise StartupError(
            f"--title-matches: {text!r} is not a regular expression: {error}."
        ) from error
