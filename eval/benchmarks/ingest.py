"""`python -m eval ingest`: the speed of ingesting an export, compared with storing its turns alone.

Storing alone is the bulk append of the benchmark of speed: the texts go to a server over HTTP, in
conversations of 500 turns that are made before the clock starts, until the last vector is indexed.
Ingesting is the command `memory-ingest` into a local folder, from its start to its end, with the
highest memory of its processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval.benchmarks.measured_service import serving
from eval.benchmarks.resources import memory_of
from eval.benchmarks.timing import batches
from eval.console import complain, output_file
from eval.errors import EvaluationError, MeasurementError
from eval.json_files import write_json
from eval.provenance import provenance
from ingest.formats import recognise
from ingest.sources.opening import open_source
from ingest.transcripts import FormatOptions
from memory_service.commands.terminal import stderr, stdout
from memory_service.core.errors import ServiceError
from memory_service.core.settings import load_settings
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.strict_json import loads

CONVERSATION_TURNS = 500
_MEMORY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StoredAlone:
    """Storing the turns alone: turns a second until all are stored, and until searchable."""

    turns: int
    stored_turns_per_s: float
    searchable_turns_per_s: float


@dataclass(frozen=True, slots=True)
class IngestedExport:
    """Ingesting the export; the bytes are the highest memory, None where unknown."""

    turns: int
    searchable_turns_per_s: float
    highest_rss_bytes: int | None
    of_the_largest_bytes: int | None


@dataclass(frozen=True, slots=True)
class IngestMeasurement:
    """Both ways to store the turns of an export."""

    alone: StoredAlone
    ingested: IngestedExport

    @property
    def ratio(self) -> float:
        """The speed of ingesting over that of storing alone."""
        return round(self.ingested.searchable_turns_per_s / self.alone.searchable_turns_per_s, 3)


def ingest(
    export: Annotated[
        Path, typer.Argument(exists=True, help="An export that memory-ingest reads.")
    ],
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Measure ingesting an export into a local folder, and storing its turns alone."""
    about = provenance(load_settings()).as_json()
    try:
        texts = _texts(export)
        measurement = _measure(export, texts)
    except (EvaluationError, ServiceError, httpx2.HTTPError, OSError) as error:
        raise complain("ingest", error) from error
    if json_out is not None:
        result = {
            "provenance": about,
            "export": {"bytes": export.stat().st_size, "turns": len(texts)},
            **asdict(measurement),
            "ratio": measurement.ratio,
        }
        write_json(json_out, result)
    stdout().print(table(measurement))


def _texts(export: Path) -> list[str]:
    """Return the texts of all turns of an export that are stored."""
    limits = ItemLimits(max_text_chars=10_000_000, max_nesting=64)
    with open_source(export) as source:
        chosen = recognise(source)
        if chosen is None:
            raise MeasurementError(f"the format of {export} is not known")
        texts = [
            parse_item(loads(item.raw, max_nesting=64), item.raw, {}, limits, "item").text
            for transcript in chosen.parse(source, FormatOptions(), lambda *_: None)
            for item in transcript.items
        ]
    if not texts:
        raise MeasurementError(f"{export} has no turns")
    return texts


def _measure(export: Path, texts: Sequence[str]) -> IngestMeasurement:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="ingest-") as folder,
        Progress(*columns, console=stderr(), transient=True) as progress,
    ):
        task = progress.add_task(f"store {len(texts):,} turns alone")
        alone = _store_alone(Path(folder), texts)
        progress.update(task, description="ingest the export")
        return IngestMeasurement(alone, _ingest(Path(folder) / "ingested", export))


def _store_alone(folder: Path, texts: Sequence[str]) -> StoredAlone:
    with serving(folder / "alone", folder / "server.log") as service:
        parts = list(batches(texts, CONVERSATION_TURNS))
        for number in range(len(parts)):
            service.post("/v1/conversations", {"id": f"talk-{number}", "user": "me"})
        began = time.perf_counter()
        for number, part in enumerate(parts):
            service.append(f"talk-{number}", part)
        stored = time.perf_counter() - began
        service.wait_for_index()
        searchable = time.perf_counter() - began
    return StoredAlone(
        turns=len(texts),
        stored_turns_per_s=round(len(texts) / stored, 1),
        searchable_turns_per_s=round(len(texts) / searchable, 1),
    )


def _ingest(folder: Path, export: Path) -> IngestedExport:
    command = [sys.executable, "-m", "ingest", str(export), "--data-dir", str(folder)]
    # A file, not a pipe: a pipe is not read while it runs, and the last line may be long.
    report = folder.with_suffix(".json")
    highest = largest = 0
    began = time.perf_counter()
    with (
        report.open("wb") as out,
        subprocess.Popen([*command, "--user", "me", "--json", "--quiet"], stdout=out) as process,
    ):
        while process.poll() is None:
            if (memory := memory_of(process.pid)) is not None:
                highest = max(highest, memory.highest_rss_bytes)
                largest = max(largest, memory.of_the_largest_bytes)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_MEMORY_SECONDS)
        seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise MeasurementError(f"memory-ingest ended with exit code {process.returncode}")
    turns = int(json.loads(report.read_bytes().splitlines()[-1])["turns"]["stored"])
    return IngestedExport(turns, round(turns / seconds, 1), highest or None, largest or None)


def table(measurement: IngestMeasurement) -> Table:
    """Return the numbers as a table."""
    alone, ingested = measurement.alone, measurement.ingested
    shown = Table("measure", "value", title="Ingestion")
    shown.add_row("alone: stored, turns/s", f"{alone.stored_turns_per_s:,.0f}")
    shown.add_row("alone: searchable, turns/s", f"{alone.searchable_turns_per_s:,.0f}")
    shown.add_row("ingested: searchable, turns/s", f"{ingested.searchable_turns_per_s:,.0f}")
    shown.add_row("ingested / alone, searchable", f"{measurement.ratio:.2f}")
    for label, number in (
        ("highest memory of one process, MB", ingested.of_the_largest_bytes),
        ("of all its processes together, MB", ingested.highest_rss_bytes),
    ):
        if number is not None:
            shown.add_row(label, f"{number / 1e6:,.0f}")
    return shown
