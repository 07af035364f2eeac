"""Stored properties: which embedder and which version of the terms the data was made with."""

from __future__ import annotations

from typing import NamedTuple

from memory_service.core.errors import StartupError
from memory_service.core.protocols import Embedder
from memory_service.embedders.local import LocalEmbedder
from memory_service.text.terms import ANALYSER_VERSION
from memory_service.turn_log.log import TurnLog


class StoredEmbedder(NamedTuple):
    """The embedder whose vectors the log holds, and the length of these vectors."""

    name: str
    dimension: int


def stored_embedder_name(log: TurnLog) -> str | None:
    """Return the name of the embedder that the data was made with, None for an empty folder."""
    with log.read() as snapshot:
        return snapshot.properties.get("embedder")


def stored_embedder(log: TurnLog) -> StoredEmbedder:
    """Return the embedder whose vectors the log holds; for an empty folder the local one."""
    with log.read() as snapshot:
        name, dimension = snapshot.properties.get("embedder"), snapshot.properties.get("dimension")
    if name is None or dimension is None:
        return StoredEmbedder(LocalEmbedder.name, LocalEmbedder.dimension)
    return StoredEmbedder(name, int(dimension))


def check_stored_properties(log: TurnLog, embedder: Embedder) -> None:
    """Store what new data is made with; raise StartupError if it was made with something else."""
    running = {
        "embedder": embedder.name,
        "dimension": str(embedder.dimension),
        "analyser_version": str(ANALYSER_VERSION),
    }
    with log.write() as transaction:
        for name, value in running.items():
            stored = transaction.properties.get(name)
            if stored is None:
                transaction.properties.set(name, value)
            elif stored != value:
                raise StartupError(
                    f"This data was made with {name} {stored!r}, the service runs {value!r}. "
                    "Start it with the former, or make the data again with the latter: "
                    "`memory-service export --out history.jsonl` (with --project for each), then "
                    "`memory-ingest history.jsonl --data-dir` and a new folder."
                )
