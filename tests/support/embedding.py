"""Texts, limits and expected vectors for tests of embedders on a stand-in server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_service.core.protocols import Embedder
from memory_service.embedders.checks import EmbedderLimits
from memory_service.embedders.openai import OpenAIEmbedder
from tests.support import standin_embeddings as standins
from tests.support.factories import Words

TEXTS = ["Ann: the locker is 8314", "Bob: thanks!", "Ann: see you at the lake"]


SHORT = 0.05


def limits(**changes: Any) -> EmbedderLimits:
    return EmbedderLimits(**{"counter": Words(), **changes})


def unit_vector(text: str, dimension: int = standins.DIMENSION) -> npt.NDArray[np.float64]:
    """Return the stand-in's vector of a text, of unit length."""
    vector = np.array(standins.vector_of(text, dimension))
    return np.asarray(vector / np.linalg.norm(vector))


def has_expected_vectors(embedder: Embedder) -> bool:
    """Return whether all texts get their own vectors."""
    vectors = embedder.embed_documents(TEXTS)
    return all(
        vector is not None and np.allclose(vector, unit_vector(text), atol=1e-6)
        for text, vector in zip(TEXTS, vectors, strict=True)
    )


OpenEmbedder = Callable[..., OpenAIEmbedder]
