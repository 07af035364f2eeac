"""Removal of what Chroma leaves in its folder: files of dropped collections, free database pages.

Chroma keeps a SQLite database (with a rollback journal, so that other connections may open it) and
a folder of files for each collection that it has written, named by the id of a row in `segments`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

from memory_service.core.errors import VectorIndexDown

DATABASE = "chroma.sqlite3"
_BUSY_SECONDS = 30.0


def remove_orphans(folder: Path) -> None:
    """Remove the folders of dropped collections, which `delete_collection` leaves."""
    with _database(folder) as database:
        segments = {str(row[0]) for row in database.execute("SELECT id FROM segments")}
        for path in folder.iterdir():
            if path.is_dir() and _is_uuid(path.name) and path.name not in segments:
                shutil.rmtree(path)


def vacuum(folder: Path) -> None:
    """Rewrite the database without its free pages, which hold vectors that passed through it.

    This is safe while Chroma is open: VACUUM waits for the lock, and Chroma's queries wait for it.
    """
    with _database(folder) as database:
        # Without it, unused parts of new pages hold what was in memory before.
        database.execute("PRAGMA secure_delete = ON")
        database.execute("VACUUM")


@contextmanager
def _database(folder: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(
            sqlite3.connect(folder / DATABASE, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as connection:
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise VectorIndexDown(f"Chroma's files cannot be cleaned: {error}.") from error


def _is_uuid(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
