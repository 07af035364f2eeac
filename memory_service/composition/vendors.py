"""The embedder that settings name."""

from __future__ import annotations

from memory_service.core.protocols import Embedder
from memory_service.core.settings import Settings
from memory_service.embedders.checks import EmbedderLimits
from memory_service.embedders.local import LocalEmbedder
from memory_service.embedders.opening import open_embedder
from memory_service.tokens.encodings import counter_of


def embedder_of(settings: Settings, made_with: str | None = None) -> Embedder:
    """Open the embedder that the settings name; `made_with` is the name that the data holds."""
    if settings.embedder == "local":
        return LocalEmbedder()
    key = settings.embedder_api_key
    return open_embedder(
        settings.embedder,
        EmbedderLimits(
            counter=counter_of(settings, settings.embedder_model),
            max_input_tokens=settings.embedder_max_input_tokens,
            batch=settings.embedder_batch,
            timeout_seconds=settings.embedder_timeout_seconds,
            query_timeout_seconds=settings.embedder_query_timeout_seconds,
        ),
        model=settings.embedder_model,
        base_url=settings.embedder_base_url,
        api_key=None if key is None else key.get_secret_value(),
        dimension=settings.embedder_dimension,
        config=settings.embedder_config,
        made_with=made_with,
    )
