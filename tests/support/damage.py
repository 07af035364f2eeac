"""Damage to Chroma's files, as after kills, full disks and manual changes."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from memory_service.service import Service
from tests.support.storing import project_key


def folder_of(chroma: Path, collection: int) -> Path:
    """Return the folder with the vectors of a collection."""
    statement = (
        "SELECT segments.id FROM segments JOIN collections ON segments.collection = collections.id"
        " WHERE scope = 'VECTOR' AND collections.name = ?"
    )
    with closing(sqlite3.connect(chroma / "chroma.sqlite3")) as database:
        (row,) = database.execute(statement, [f"passages-{collection}"]).fetchall()
    return chroma / str(row[0])


def _truncate(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        os.truncate(path, int(path.stat().st_size * share))

    return damage


def _garble(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(bytes(range(7, 256, 3)) * (path.stat().st_size // 83 + 1))

    return damage


TO_A_COLLECTION: Mapping[str, Callable[[Path], None]] = {
    "metadata half written": _truncate("index_metadata.pickle", 0.5),
    "metadata empty": _truncate("index_metadata.pickle", 0),
    "metadata garbled": _garble("index_metadata.pickle"),
    "metadata missing": lambda folder: (folder / "index_metadata.pickle").unlink(),
    "vectors half written": _truncate("data_level0.bin", 0.5),
    "vectors empty": _truncate("data_level0.bin", 0),
    "vectors garbled": _garble("data_level0.bin"),
    "lengths half written": _truncate("length.bin", 0.5),
    "header half written": _truncate("header.bin", 0.2),
    "header garbled": _garble("header.bin"),
    "folder missing": shutil.rmtree,
}
"""Damage to the files of one collection; some of it ends a process that opens them."""

TO_THE_FOLDER: Mapping[str, Callable[[Path], None]] = {
    "database garbled": _garble("chroma.sqlite3"),
    "database half written": _truncate("chroma.sqlite3", 0.5),
    "database missing": lambda folder: (folder / "chroma.sqlite3").unlink(),
    "everything missing": shutil.rmtree,
}


def collection_of(service: Service, conversation_id: str) -> int:
    """Return the key of the collection with a conversation's vectors."""
    with service.log.read() as snapshot:
        conversation = snapshot.conversations.get(project_key(service), conversation_id)
        assert conversation is not None
        placed = snapshot.placements.of_conversation(conversation.key)
    assert placed is not None
    return placed.key
