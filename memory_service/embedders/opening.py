"""Opening an embedder by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_service.core.errors import EmbedderDown, EmbedderRefused, StartupError
from memory_service.core.protocols import Embedder
from memory_service.embedders import chroma_registry, openai
from memory_service.embedders.checks import EmbedderLimits
from memory_service.embedders.chroma_registry import ChromaFunctionEmbedder
from memory_service.embedders.local import LocalEmbedder
from memory_service.embedders.openai import OpenAIEmbedder


def open_embedder(
    kind: str,
    limits: EmbedderLimits,
    *,
    model: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    dimension: int | None = None,
    config: Mapping[str, Any] | None = None,
    made_with: str | None = None,
) -> Embedder:
    """Open "local", "openai" or "chroma:NAME"; raises StartupError that says what to do.

    `made_with` is the name of the embedder that the data was made with. If that is the one to open,
    its dimension is known, and the service can start while the embedder is down.
    """
    vendor, _, function = kind.partition(":")
    try:
        if kind == "local":
            return LocalEmbedder()
        if kind == "openai":
            return _open_openai(limits, model, base_url, api_key, dimension, made_with)
        if vendor == "chroma" and function:
            return _open_function(limits, function, config or {}, dimension, made_with)
    except (EmbedderDown, EmbedderRefused) as error:
        raise StartupError(
            f"The embedder {kind} did not say how long its vectors are. {error.message} "
            "It has to answer when a data folder is first used."
        ) from error
    raise StartupError(
        f"There is no embedder {kind!r}: MEMORY_EMBEDDER is local, openai or chroma:NAME."
    )


def _open_openai(
    limits: EmbedderLimits,
    model: str | None,
    base_url: str | None,
    api_key: str | None,
    dimension: int | None,
    made_with: str | None,
) -> OpenAIEmbedder:
    if not model:
        raise StartupError("The openai embedder needs MEMORY_EMBEDDER_MODEL.")
    if not (base_url or api_key):
        raise StartupError(
            "The openai embedder needs MEMORY_EMBEDDER_API_KEY, or MEMORY_EMBEDDER_BASE_URL for a "
            "server without keys."
        )
    return OpenAIEmbedder(
        model,
        limits,
        base_url=base_url,
        api_key=api_key,
        dimension=dimension,
        known_dimension=_known_dimension(openai.name_of(model), made_with),
    )


def _open_function(
    limits: EmbedderLimits,
    function: str,
    config: Mapping[str, Any],
    dimension: int | None,
    made_with: str | None,
) -> ChromaFunctionEmbedder:
    known_dimension = _known_dimension(chroma_registry.name_of(function, config), made_with)
    return ChromaFunctionEmbedder(function, config, limits, dimension=dimension or known_dimension)


def _known_dimension(name: str, made_with: str | None) -> int | None:
    """Return the dimension in `made_with`, if that is the name of the embedder to open."""
    made_by, _, dimension = (made_with or "").rpartition("@")
    return int(dimension) if made_by == name and dimension.isdecimal() else None
