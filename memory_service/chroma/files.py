"""What Chroma leaves in its folder: files of dropped collections, and free pages full of vectors.

Chroma keeps a SQLite database (rollback journal, so others may open it) and a folder of files for
each collection whose vectors it has written out, named by the key of a row in `segments`.
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
    """Remove the folders of collections that are gone: `delete_collection` leaves them."""
    with _database(folder) as database:
        known = {str(row[0]) for row in database.execute("SELECT id FROM segments")}
        for path in folder.iterdir():
            if path.is_dir() and _is_key(path.name) and path.name not in known:
                shutil.rmtree(path)


def vacuum(folder: Path) -> None:
    """Rewrite the database without its free pages: each vector passes through it once.

    Beside an open Chroma this is safe: it waits for the lock, and Chroma's queries wait for it.
    """
    with _database(folder) as database:
        # Without it the gaps of new pages show what was in memory before.
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


def _is_key(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
