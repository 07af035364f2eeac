"""`python -m eval ingest`: how fast an export is ingested, beside storing the same turns alone.

Storing alone is what the speed benchmark does in bulk: the texts go to a server over HTTP, in
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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval.benchmarks.serving import Json, MeasurementError, Server, memory_of, serving
from eval.runs import provenance
from ingest.formats import recognise
from ingest.sources.opening import open_source
from ingest.transcripts import FormatOptions
from memory_service.commands.terminal import stderr, stdout
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.strict_json import loads

CONVERSATION_TURNS = 500
_INDEX_SECONDS = 3_600.0
_POLL_SECONDS = 0.05
_MEMORY_SECONDS = 0.5
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
        "provenance": provenance.provenance(_PACKAGES),
        "export": {"bytes": export.stat().st_size, "turns": len(texts)},
        "alone": alone,
        "ingested": ingested,
        "ratio": round(ingested["searchable_turns_per_s"] / alone["searchable_turns_per_s"], 3),
    }
    if json_out is not None:
        provenance.write_json(json_out, result)
    stdout().print(table(result))


def table(result: Json) -> Table:
    """Return the numbers as a table."""
    alone, ingested = result["alone"], result["ingested"]
    shown = Table("measure", "value", title="Ingestion")
    shown.add_row("alone: stored, turns/s", f"{alone['stored_turns_per_s']:,.0f}")
    shown.add_row("alone: searchable, turns/s", f"{alone['searchable_turns_per_s']:,.0f}")
    shown.add_row("ingested: searchable, turns/s", f"{ingested['searchable_turns_per_s']:,.0f}")
    shown.add_row("ingested / alone, searchable", f"{result['ratio']:.2f}")
    for label, name in (
        ("highest memory of one process, MB", "of_the_largest_bytes"),
        ("of all its processes together, MB", "highest_rss_bytes"),
    ):
        if ingested[name] is not None:
            shown.add_row(label, f"{ingested[name] / 1e6:,.0f}")
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
            for transcript in chosen.parse(source, FormatOptions(), lambda *_: None)
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
        searchable = time.perf_counter() - began
    return {
        "turns": len(texts),
        "stored_turns_per_s": round(len(texts) / stored, 1),
        "searchable_turns_per_s": round(len(texts) / searchable, 1),
    }


def _ingested(folder: Path, export: Path) -> Json:
    command = [sys.executable, "-m", "ingest", str(export), "--data-dir", str(folder)]
    # A file, not a pipe: nobody reads while it runs, and its last line may be long.
    said, highest = folder.with_suffix(".json"), dict[str, int]()
    began = time.perf_counter()
    with (
        said.open("wb") as out,
        subprocess.Popen([*command, "--user", "me", "--json", "--quiet"], stdout=out) as process,
    ):
        while process.poll() is None:
            for name, size in (memory_of(process.pid) or {}).items():
                highest[name] = max(size, highest.get(name, 0))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_MEMORY_SECONDS)
        seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise MeasurementError(f"memory-ingest ended with exit code {process.returncode}")
    turns = int(json.loads(said.read_bytes().splitlines()[-1])["turns"]["stored"])
    return {
        "turns": turns,
        "searchable_turns_per_s": round(turns / seconds, 1),
        "highest_rss_bytes": highest.get("highest_rss_bytes"),
        "of_the_largest_bytes": highest.get("of_the_largest_bytes"),
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
