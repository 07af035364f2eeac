"""A stand-in embeddings server, and a function in Chroma's registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chromadb.utils.embedding_functions import (
    known_embedding_functions,
    register_embedding_function,
)

from memory_service.embedders.openai import OpenAIEmbedder
from tests.support import standin_embeddings as standins
from tests.support.embedding import OpenEmbedder, limits
from tests.support.embedding_function import FUNCTION, HashFunction
from tests.support.standin_embeddings import Standin


@pytest.fixture
def standin() -> Iterator[Standin]:
    """Return a running stand-in that answers without errors."""
    with standins.standin_embeddings() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Return the waits between tries, in seconds; they are recorded, not waited."""
    return []


@pytest.fixture
def open_embedder(standin: Standin, waits: list[float]) -> Iterator[OpenEmbedder]:
    """Return a function that opens an embedder on the stand-in, with a known dimension."""
    embedders: list[OpenAIEmbedder] = []

    def make(
        model: str = "small", *, max_batch_tokens: int = 1_000, **changes: Any
    ) -> OpenAIEmbedder:
        embedder = OpenAIEmbedder(
            model,
            limits(**changes),
            base_url=standin.base_url,
            api_key="sk-made-up",
            known_dimension=standins.DIMENSION,
            max_batch_tokens=max_batch_tokens,
            pause=waits.append,
        )
        embedders.append(embedder)
        return embedder

    yield make
    for embedder in embedders:
        embedder.close()


@pytest.fixture
def registered() -> Iterator[None]:
    """Register the function in Chroma's registry."""
    HashFunction.released.clear()
    register_embedding_function(HashFunction)  # type: ignore[no-untyped-call]  # it has no types
    yield
    HashFunction.released.set()
    del known_embedding_functions[FUNCTION]
