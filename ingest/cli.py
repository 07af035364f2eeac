"""The command `memory-ingest`: old transcripts into a data folder or a server."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from threading import Event
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from ingest.formats import FORMATS
from ingest.pipeline import Ingestion, Selection
from ingest.progress import progress
from ingest.report import Report
from ingest.server_sink import ServerSink
from ingest.sinks import DrySink, LocalSink, Sink
from ingest.transcripts import Options
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core import logs
from memory_service.core.errors import ServiceError, StartupError
from memory_service.core.gc_tuning import freeze_loaded_objects
from memory_service.core.models import MICROSECONDS
from memory_service.core.settings import Settings, load_settings
from memory_service.items.fields import check_user_id
from memory_service.service import LOCAL_PROJECT

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells count."""

app = typer.Typer(
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; a known problem is one message on stderr and exit code 2."""
    freeze_loaded_objects()
    try:
        app()
    except ServiceError as error:
        stderr().print(harmless(f"memory-ingest: {error.message}", style="red"), soft_wrap=True)
        sys.exit(2)


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
    branches: Annotated[
        Literal["live", "all"],
        typer.Option(help="Of chats that were edited or answered anew: the live branch, or all."),
    ] = "live",
    reasoning: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--reasoning", help="Keep the model's thoughts too.")
    ] = False,
    sidechains: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--sidechains", help="Keep what agents said among themselves, apart.")
    ] = False,
    date_order: Annotated[
        Literal["dmy", "mdy", "ymd"] | None,
        typer.Option(help="Of dates such as 03/04/24; else detected."),
    ] = None,
    zone: Annotated[
        str, typer.Option(help="Time zone of dates without one, such as Europe/Oslo.")
    ] = "UTC",
    since: Annotated[
        str | None, typer.Option(help="Only conversations that went on after this date or time.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Only those begun by this time, or on this day at the latest."),
    ] = None,
    title_matches: Annotated[
        str | None, typer.Option(help="Only titles in which this regular expression is found.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many conversations, the first.")
    ] = None,
    dry_run: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--dry-run", help="Store nothing; report what would be stored.")
    ] = False,
    quiet: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--quiet", help="No progress, no report.")
    ] = False,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="The report as JSON on the last line.")
    ] = False,
) -> None:
    """Store old conversations; running it again stores only what is new.

    Ctrl-C stops it between two conversations, and running it again goes on from there. Exits 0, 1
    if some records could not be used, or 2 if nothing could.
    """
    settings = load_settings(data_dir=data_dir, log_level="error")
    logs.configure(settings.log_format, settings.log_level)
    clock_zone = _zone(zone)
    selection = Selection(
        since=None if since is None else _time(since, clock_zone, "--since"),
        until=None if until is None else _time(until, clock_zone, "--until", end_of_day=True),
        title=None if title_matches is None else _pattern(title_matches),
        limit=limit,
    )
    options = Options(
        branches=branches,
        reasoning=reasoning,
        sidechains=sidechains,
        date_order=date_order,
        zone=clock_zone,
    )
    if user is not None:
        check_user_id(user, "--user")
    target = _sink(settings, url, api_key, project, dry_run=dry_run, data_dir=data_dir)
    try:
        with _ctrl_c() as stop, target as sink:
            ended = _ingest(
                Ingestion(sink, options=options, selection=selection, user=user, settings=settings),
                sink,
                files,
                format_name,
                stop,
                quiet=quiet,
            )
    except ServiceError:
        if as_json:
            _print_json(Report())
        raise
    if not quiet:
        ended.report.show(dry_run=dry_run)
    if ended.why is not None:
        message = f"memory-ingest: {ended.why} Run the same command again to go on."
        stderr().print(harmless(message, style="red"), soft_wrap=True)
    if as_json:
        _print_json(ended.report)
    raise typer.Exit(ended.exit_code)


class _Ended(NamedTuple):
    """How an ingestion ended, and why before its end."""

    report: Report
    why: str | None
    exit_code: int


def _ingest(
    ingestion: Ingestion,
    sink: Sink,
    files: list[Path],
    format_name: str | None,
    stop: Event,
    *,
    quiet: bool,
) -> _Ended:
    """Run it until all can be found or `stop` is set; raises ServiceError if nothing was read."""
    report = ingestion.report
    with progress(stderr(), quiet=quiet) as shown:

        def on_progress(done: int, total: int, turns: int) -> bool:
            shown.reading(done, total, turns)
            return not stop.is_set()

        def on_lag(lag: int) -> bool:
            shown.indexing(lag)
            return not stop.is_set()

        try:
            ingestion.run(files, format_name, on_progress)
            sink.finish(on_lag)
        except ServiceError as error:
            if report.conversations["read"] == 0:
                raise
            return _Ended(report, error.message, 2)
    if stop.is_set():
        return _Ended(report, "Stopped.", INTERRUPTED)
    return _Ended(report, None, report.exit_code)


def _print_json(report: Report) -> None:
    stdout().file.write(json.dumps(report.as_dict(), ensure_ascii=True) + "\n")


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
            raise StartupError("--api-key goes with --url; a local folder needs none.")
        local = DrySink if dry_run else LocalSink
        return local(settings, project or LOCAL_PROJECT)
    if data_dir is not None:
        raise StartupError("Give --data-dir or --url, not both.")
    if project is not None:
        raise StartupError("On a server the API key decides the project: leave --project out.")
    if dry_run:
        raise StartupError("--dry-run looks at a local folder: leave --url out.")
    return ServerSink(url, api_key)


@contextmanager
def _ctrl_c() -> Iterator[Event]:
    """Return what the first Ctrl-C sets; the second one ends the program where it is."""
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
        raise StartupError(f"--zone: {name!r} is no time zone such as Europe/Oslo.") from error


def _time(text: str, zone: tzinfo, option: str, *, end_of_day: bool = False) -> int:
    try:
        found = datetime.fromisoformat(text)
        if end_of_day and len(text) <= len("2024-05-31"):
            found += timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise StartupError(
            f"{option}: {text!r} is no date or time such as 2024-05-31 or 2024-05-31T18:00."
        ) from error
    aware = found if found.tzinfo else found.replace(tzinfo=zone)
    return round(aware.timestamp() * MICROSECONDS)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise StartupError(
            f"--title-matches: {text!r} is no regular expression: {error}."
        ) from error
