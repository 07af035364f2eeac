"""What vectors alone cost: an exact scan in numpy, and Chroma with and without a filter.

The vectors are those of the stored texts, in float32 as the service compares them. Chroma has them
in one collection, with one metadata key that `where` filters by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings

from eval.benchmarks.speed.measurements import VectorMeasurement
from eval.benchmarks.timing import TimingLoop
from memory_service.core.models import Matrix
from memory_service.embedders.local import LocalEmbedder

NEAREST = 50
_BATCH = 5_000


def measure(
    texts: Sequence[str],
    queries: Sequence[str],
    conversation: int,
    folder: Path,
    loop: TimingLoop,
) -> VectorMeasurement:
    """Return the times of finding the nearest 50 of one conversation, and of all texts.

    `conversation` is the number of texts of one conversation.
    """
    embedder = LocalEmbedder()
    vectors = np.stack([_vector(vector) for vector in embedder.embed_documents(texts)])
    asked = np.stack([_vector(embedder.embed_query(query)) for query in queries])
    of_conversation = np.ascontiguousarray(vectors[:conversation])
    collection = _collection(folder, vectors, conversation)

    def scan(compared: Matrix, number: int) -> object:
        scores = compared @ asked[number % len(asked)]
        if len(scores) <= NEAREST:
            return scores
        return np.argpartition(-scores, NEAREST)[:NEAREST]

    def ask_chroma(number: int, **filters: object) -> object:
        query = [asked[number % len(asked)]]
        return collection.query(query_embeddings=query, n_results=NEAREST, include=[], **filters)

    return VectorMeasurement(
        vectors=len(texts),
        conversation=conversation,
        numpy_conversation=loop("numpy: one conversation", lambda n: scan(of_conversation, n)),
        numpy_all=loop("numpy: all vectors", lambda n: scan(vectors, n)),
        chroma_where=loop(
            "Chroma: one conversation of all", lambda n: ask_chroma(n, where={"conversation": 0})
        ),
        chroma_all=loop("Chroma: all vectors", ask_chroma),
    )


def _collection(folder: Path, vectors: Matrix, conversation: int) -> Any:
    """Return a collection of all vectors, each with the number of its conversation."""
    client: Any = chromadb.PersistentClient(
        path=str(folder), settings=ChromaSettings(anonymized_telemetry=False)
    )
    collection = client.create_collection("baseline", embedding_function=None)
    for start in range(0, len(vectors), _BATCH):
        keys = range(start, min(start + _BATCH, len(vectors)))
        collection.add(
            ids=[str(key) for key in keys],
            embeddings=vectors[start : keys.stop],
            metadatas=[{"conversation": key // conversation} for key in keys],
        )
    return collection


def _vector(vector: Any) -> Any:
    """Return a vector, or the zero vector of a text without words."""
    return np.zeros(256, np.float32) if vector is None else vector
