"""Vendors from settings: the embedder and the model that writes summaries."""

from __future__ import annotations

import structlog

from memory_service.core.protocols import ChatModel, Embedder
from memory_service.core.settings import Settings
from memory_service.embedders.checks import EmbedderLimits
from memory_service.embedders.local import LocalEmbedder
from memory_service.embedders.opening import open_embedder
from memory_service.llm.chat_model import OpenAIChatModel
from memory_service.llm.openai_client import is_nearby
from memory_service.tokens.encodings import counter_of

logger = structlog.get_logger(__name__)


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


def chat_model_of(settings: Settings) -> ChatModel | None:
    """Open the model that writes summaries; None if this service may ask none.

    Without a key a server on the internet would refuse, unless the settings ask for summaries
    explicitly: then it is taken for a server that needs no key.
    """
    if settings.upstream_base_url is None:
        return None
    key = settings.upstream_api_key
    wanted = settings.summaries and "summaries" in settings.model_fields_set
    if key is None and not wanted and not is_nearby(settings.upstream_base_url):
        logger.info("no summaries are written: MEMORY_UPSTREAM_API_KEY is not set")
        return None
    return OpenAIChatModel(
        base_url=settings.upstream_base_url,
        api_key=None if key is None else key.get_secret_value(),
        timeout_seconds=settings.upstream_timeout_seconds,
    )
