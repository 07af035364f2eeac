"""SQLite as the turn log's engine: every pragma with its reason, and what only SQLite does."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from memory_service.core.errors import StartupError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT_MS = 30_000
_CHECKPOINT_TIMEOUT_MS = 100
_RETRY_SECONDS = 0.01
_FULL = 2
_VACUUM_IN_MEMORY_BYTES = 64 * 1024 * 1024

_PRAGMAS = {
    # An acknowledged turn survives a power cut: the WAL is flushed at every commit.
    "synchronous": "FULL",
    # A second process (`keys create` while a server runs) waits instead of failing.
    "busy_timeout": str(BUSY_TIMEOUT_MS),
    "foreign_keys": "ON",
    # Deleted text is overwritten with zeros, not left in free pages.
    "secure_delete": "ON",
    # Sorting a page of results must not leave turns in a temporary file.
    "temp_store": "MEMORY",
    "wal_autocheckpoint": "16000",
}


def open_engine(path: Path, *, cache_mib: int = 64, mmap_mib: int = 256) -> sa.Engine:
    """Return an engine on the file at `path`; connections are made (and checked) on first use.

    `cache_mib` of pages stay with each connection, so that the postings of a busy conversation are
    warm; reads of vectors come straight from the `mmap_mib` that are mapped.
    """
    memory = {"cache_size": str(-1024 * cache_mib), "mmap_size": str(1024 * 1024 * mmap_mib)}
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        # One connection for each of the API's worker threads, and more for background threads.
        pool_size=16,
        max_overflow=48,
        # Parameters of statements are texts of users: no error message may show them.
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", partial(_prepare, {**_PRAGMAS, **memory}))
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(
    pragmas: Mapping[str, str], connection: DBAPIConnection, _entry: ConnectionPoolEntry
) -> None:
    # The driver's own transactions begin late and end early; `_begin` executes BEGIN instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    for name, value in pragmas.items():
        cursor.execute(f"PRAGMA {name} = {value}")
    cursor.execute("PRAGMA synchronous")
    if (row := cursor.fetchone()) is None or row[0] != _FULL:
        raise StartupError(
            f"SQLite refused synchronous=FULL (it says {row}); turns would not be safe."
        )
    cursor.close()


def _use_write_ahead_log(cursor: DBAPICursor) -> None:
    """Switch to WAL mode, in which readers and the writer do not wait for each other.

    If several processes switch a new file at the same moment, SQLite does not let them wait: all
    but one get an error at once that the file is locked.
    """
    deadline, pause = time.monotonic() + BUSY_TIMEOUT_MS / 1000, threading.Event()
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            pause.wait(_RETRY_SECONDS)
        else:
            return


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later cannot wait for the lock in WAL mode: it
    # fails at once with "database is locked". So writers take the lock at their beginning.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def checkpoint(engine: sa.Engine) -> bool:
    """Move the WAL into the database and empty it; return whether no reader prevented it.

    Until then deleted text can still be read in the WAL file.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        # A checkpoint that waits for a reader blocks every writer: it is tried again later.
        cursor.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.close()
        return row is not None and row[0] == 0
    finally:
        connection.close()


def vacuum(engine: sa.Engine) -> None:
    """Rewrite the file row by row; raises sqlite3.OperationalError without a lock or room.

    `secure_delete` overwrites a row in place, but not the copy that stays in the gap of a page
    when rebalancing moves the row to another: of 300 deletions one rare word stayed readable in
    three of five runs.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        large = file_size(engine) > _VACUUM_IN_MEMORY_BYTES
        # The copy of a large file may not fit into memory; SQLite unlinks its temporary file.
        cursor.execute(f"PRAGMA temp_store = {'FILE' if large else 'MEMORY'}")
        try:
            cursor.execute("VACUUM")
        finally:
            cursor.execute(f"PRAGMA temp_store = {_PRAGMAS['temp_store']}")
            cursor.close()
    finally:
        connection.close()


def file_size(engine: sa.Engine) -> int:
    """Return the size of the database's file in bytes."""
    return Path(str(engine.url.database)).stat().st_size


def integrity_problems(connection: sa.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file, and rows that refer to missing rows."""
    messages = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return [message for message in messages if message != "ok"] + [
        f"a row of {row[0]} refers to a missing row of {row[2]}" for row in orphans
    ]


def is_lock_timeout(error: Exception) -> bool:
    """Return whether another process held the write lock longer than the busy timeout."""
    original: Any = getattr(error, "orig", None)
    return (
        isinstance(original, sqlite3.OperationalError)
        and original.sqlite_errorcode == sqlite3.SQLITE_BUSY
    )


def is_damage(error: Exception) -> bool:
    """Return whether the file is no database, or has pages that cannot be read."""
    original: Any = getattr(error, "orig", None)
    return isinstance(original, sqlite3.DatabaseError) and original.sqlite_errorcode in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
