"""What vectors alone cost, beside the service: an exact scan in numpy, and Chroma with a filter.

The vectors are those of the stored texts, in float32 as the service compares them. Chroma holds
them as one would without further thought: one collection, one metadata key, `where` on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings

from memory_service.core.models import Matrix
from memory_service.embedders.local import LocalEmbedder

NEAREST = 50
_BATCH = 5_000

Loop = Callable[[str, Callable[[int], object]], dict[str, Any]]


def measure(
    texts: Sequence[str], queries: Sequence[str], conversation: int, folder: Path, loop: Loop
) -> dict[str, Any]:
    """Return the times of finding the nearest 50 of one conversation, and of all texts.

    `conversation` is how many texts one has; `loop` times an action that is given its number.
    """
    embedder = LocalEmbedder()
    vectors = np.stack([_known(vector) for vector in embedder.embed_documents(texts)])
    asked = np.stack([_known(embedder.embed_query(query)) for query in queries])
    client: Any = chromadb.PersistentClient(
        path=str(folder), settings=ChromaSettings(anonymized_telemetry=False)
    )
    collection = client.create_collection("baseline", embedding_function=None)
    for start in range(0, len(texts), _BATCH):
        keys = range(start, min(start + _BATCH, len(texts)))
        collection.add(
            ids=[str(key) for key in keys],
            embeddings=vectors[start : keys.stop],
            metadatas=[{"conversation": key // conversation} for key in keys],
        )
    of_one = np.ascontiguousarray(vectors[:conversation])

    def nearest(held: Matrix, number: int) -> object:
        scores = held @ asked[number % len(asked)]
        if len(scores) <= NEAREST:
            return scores
        return np.argpartition(-scores, NEAREST)[:NEAREST]

    def ask(number: int, **where: object) -> object:
        return collection.query(
            query_embeddings=[asked[number % len(asked)]], n_results=NEAREST, include=[], **where
        )

    return {
        "vectors": len(texts),
        "conversation": conversation,
        "numpy_conversation": loop("numpy: one conversation", lambda n: nearest(of_one, n)),
        "numpy_all": loop("numpy: all vectors", lambda n: nearest(vectors, n)),
        "chroma_where": loop(
            "Chroma: one conversation of all", lambda n: ask(n, where={"conversation": 0})
        ),
        "chroma_all": loop("Chroma: all vectors", ask),
    }


def _known(vector: Any) -> Any:
    """Return a vector, or the zero vector of a text without words."""
    return np.zeros(256, np.float32) if vector is None else vector
