"""`python -m eval ingest`: how fast an export is ingested, beside storing the same turns alone.

Storing alone is what the speed benchmark does in bulk: the texts go to a server over HTTP, in
conversations of 500 turns that are made before the clock starts. Ingesting is what `memory-ingest`
does in a local folder, from the open file to the last vector, without the start of the process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval import runs
from eval.serving import Json, MeasurementError, Server, serving
from ingest.formats import recognise
from ingest.pipeline import Ingestion, Selection
from ingest.sinks import LocalSink
from ingest.sources import open_source
from ingest.transcripts import Options
from memory_service.garbage import spare_what_is_there
from memory_service.items import ItemLimits, parse_item
from memory_service.settings import Settings, load_settings
from memory_service.strict_json import loads
from memory_service.terminal import stderr, stdout

CONVERSATION_TURNS = 500
_INDEX_SECONDS = 3_600.0
_POLL_SECONDS = 0.05
_PACKAGES = ("chromadb", "sqlalchemy", "numpy", "tokenizers")


def ingest(
    export: Annotated[Path, typer.Argument(exists=True, help="An export, as memory-ingest takes.")],
    json_out: Annotated[Path | None, typer.Option(help="File for all numbers, as JSON.")] = None,
) -> None:
    """Measure ingesting an export into a local folder, beside storing its turns alone."""
    texts = _texts(export)
    with (
        tempfile.TemporaryDirectory(prefix="ingest-") as folder,
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=stderr(),
            transient=True,
        ) as progress,
    ):
        task = progress.add_task(f"store {len(texts):,} turns alone")
        alone = _alone(Path(folder), texts)
        progress.update(task, description="ingest the export")
        ingested = _ingested(Path(folder) / "ingested", export)
    result: Json = {
        "provenance": runs.provenance(_PACKAGES),
        "export": {"bytes": export.stat().st_size, "turns": len(texts)},
        "alone": alone,
        "ingested": ingested,
        "ratios": {
            name: round(ingested[name] / alone[name], 3)
            for name in ("stored_turns_per_s", "searchable_turns_per_s")
        },
    }
    if json_out is not None:
        runs.write_json(json_out, result)
    stdout().print(table(result))


def table(result: Json) -> Table:
    """Return the numbers as a table."""
    shown = Table("measure", "alone", "ingested", "ratio", title="Ingestion")
    for name in ("stored_turns_per_s", "searchable_turns_per_s"):
        pair = [f"{result[which][name]:,.0f}" for which in ("alone", "ingested")]
        shown.add_row(name.replace("_", " "), *pair, f"{result['ratios'][name]:.2f}")
    return shown


def _texts(export: Path) -> list[str]:
    """Return the texts of all turns of an export that are stored."""
    limits = ItemLimits(max_text_chars=10_000_000, max_nesting=64)
    with open_source(export) as source:
        chosen = recognise(source)
        if chosen is None:
            raise MeasurementError(f"{export} is of no known format")
        return [
            parse_item(loads(item.raw, max_nesting=64), item.raw, {}, limits, "item").text
            for transcript in chosen.parse(source, Options(), lambda *_: None)
            for item in transcript.items
        ]


def _alone(folder: Path, texts: Sequence[str]) -> Json:
    with serving(folder / "alone", folder / "server.log") as server:
        batches = list(_batches(texts))
        for number in range(len(batches)):
            server.post("/v1/conversations", {"id": f"talk-{number}", "user": "me"})
        began = time.perf_counter()
        for number, some in enumerate(batches):
            server.append(f"talk-{number}", some)
        stored = time.perf_counter() - began
        _wait_for_index(server)
        return _speeds(len(texts), stored, time.perf_counter() - began)


def _ingested(folder: Path, export: Path) -> Json:
    settings: Settings = load_settings(data_dir=folder, log_level="error")
    with LocalSink(settings, "local") as sink:
        ingestion = Ingestion(
            sink,
            options=Options(),
            selection=Selection(),
            user="me",
            settings=settings,
        )
        # As the command does.
        spare_what_is_there()
        began = time.perf_counter()
        ingestion.run([export], None, lambda *_: True)
        stored = time.perf_counter() - began
        sink.finish(lambda _lag: True)
        return _speeds(ingestion.report.turns["stored"], stored, time.perf_counter() - began)


def _speeds(turns: int, stored: float, searchable: float) -> Json:
    return {
        "turns": turns,
        "stored_turns_per_s": round(turns / stored, 1),
        "searchable_turns_per_s": round(turns / searchable, 1),
    }


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (
        texts[start : start + CONVERSATION_TURNS]
        for start in range(0, len(texts), CONVERSATION_TURNS)
    )


def _wait_for_index(server: Server) -> None:
    deadline = time.perf_counter() + _INDEX_SECONDS
    while (lag := server.read_lag()) > 0:
        if time.perf_counter() > deadline:
            raise MeasurementError(f"the index is {lag} passages behind and does not catch up")
        time.sleep(_POLL_SECONDS)
