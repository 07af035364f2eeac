"""What bare SQLite and a bare fsync cost, on the disk that the service writes to."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from eval.benchmarks.speed.measurements import SqliteMeasurement
from eval.benchmarks.speed.plan import BATCH
from eval.benchmarks.timing import Percentiles, TimingLoop, batches

_INSERT = "INSERT INTO turns (text) VALUES (?)"


def measure(rows: Sequence[str], folder: Path, loop: TimingLoop) -> SqliteMeasurement:
    """Return the times of inserting texts with the service's durability."""
    database = sqlite3.connect(folder / "baseline.sqlite3", isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE turns (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        insert = loop(
            "bare SQLite: one row, one commit",
            lambda number: database.execute(_INSERT, (rows[number % len(rows)],)),
        )
        seconds = _insert_in_bulk(database, rows)
    finally:
        database.close()
    return SqliteMeasurement(
        insert=insert,
        bulk_rows=len(rows),
        bulk_turns_per_s=round(len(rows) / seconds, 1),
        fsync_4kb=_fsync(folder, loop),
    )


def _insert_in_bulk(database: sqlite3.Connection, rows: Sequence[str]) -> float:
    """Return the seconds of inserting all rows, in transactions of a batch."""
    began = time.perf_counter()
    for batch in batches(rows, BATCH):
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_INSERT, [(row,) for row in batch])
        database.execute("COMMIT")
    return time.perf_counter() - began


def _fsync(folder: Path, loop: TimingLoop) -> Percentiles:
    with (folder / "fsync").open("wb", buffering=0) as file:

        def flush(_number: int) -> None:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())

        return loop("fsync of 4 kB", flush)
