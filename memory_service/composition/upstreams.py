"""Upstreams from settings: the table for requests, and the models that write summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from memory_service.core.models import HOP_HEADER
from memory_service.core.protocols import ChatModel, ModelLists
from memory_service.core.settings import Settings
from memory_service.core.upstream_entries import UpstreamEntry
from memory_service.llm.chat_model import OpenAIChatModel
from memory_service.llm.endpoint import Endpoint, endpoint_of
from memory_service.llm.model_lists import HttpModelLists
from memory_service.llm.openai_client import is_nearby
from memory_service.llm.upstream import HttpUpstream, UpstreamClient
from memory_service.upstreams.routed_model import RoutedChatModel
from memory_service.upstreams.table import TableEntry, UpstreamTable

logger = structlog.get_logger(__name__)


class ConfiguredUpstream(NamedTuple):
    """An upstream as the settings describe it."""

    endpoint: Endpoint
    entry: UpstreamEntry

    @property
    def api_key(self) -> str | None:
        """The key of the settings."""
        return None if self.entry.api_key is None else self.entry.api_key.get_secret_value()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that are sent with each request."""
        return {name: value.get_secret_value() for name, value in self.entry.headers.items()}


def configured_default(settings: Settings) -> ConfiguredUpstream | None:
    """Return the upstream outside the table; raises StartupError if its URL is not one."""
    if settings.upstream_base_url is None:
        return None
    entry = UpstreamEntry(
        base_url=settings.upstream_base_url,
        api_key=settings.upstream_api_key,
        api_version=settings.upstream_api_version,
        key_header=settings.upstream_key_header,
        # An application with a key of its own only changes its base URL.
        caller_key=True,
    )
    return _configured(entry, "MEMORY_UPSTREAM_BASE_URL", None)


def configured_entries(settings: Settings) -> Sequence[ConfiguredUpstream]:
    """Return the upstreams of the table; raises StartupError if a URL is not one."""
    return [
        _configured(entry, f"MEMORY_UPSTREAMS: {name}", name)
        for name, entry in settings.upstreams.items()
    ]


def all_configured(settings: Settings) -> Sequence[ConfiguredUpstream]:
    """Return all upstreams."""
    default = configured_default(settings)
    return [*configured_entries(settings), *([] if default is None else [default])]


def upstream_table_of(settings: Settings, instance_id: str) -> UpstreamTable:
    """Return the table of upstreams; it opens no connection yet."""
    client = UpstreamClient(settings.upstream_timeout_seconds)

    def opened(configured: ConfiguredUpstream) -> HttpUpstream:
        return HttpUpstream(
            configured.endpoint,
            client,
            api_key=configured.api_key,
            instance_id=instance_id,
            takes_caller_key=configured.entry.caller_key,
            headers=configured.headers,
        )

    default = configured_default(settings)
    return UpstreamTable(
        None if default is None else opened(default),
        [
            TableEntry(opened(configured), configured.entry.models)
            for configured in configured_entries(settings)
        ],
    )


def chat_model_of(settings: Settings, table: UpstreamTable, instance_id: str) -> ChatModel | None:
    """Return the models that write summaries; None if this service may ask none.

    Without a key a server on the internet would refuse, unless the settings ask for summaries
    explicitly: then it is taken for a server that needs no key.
    """
    wanted = settings.summaries and "summaries" in settings.model_fields_set
    configured_upstreams = all_configured(settings)
    asked = [
        configured
        for configured in configured_upstreams
        if configured.api_key is not None or wanted or is_nearby(configured.entry.base_url)
    ]
    if not asked:
        if configured_upstreams:
            logger.info("no summaries are written: MEMORY_UPSTREAM_API_KEY is not set")
        return None
    models = {
        configured.endpoint.name: OpenAIChatModel(
            configured.endpoint,
            api_key=configured.api_key,
            timeout_seconds=settings.upstream_timeout_seconds,
            headers={**configured.headers, HOP_HEADER: instance_id},
        )
        for configured in asked
    }
    return RoutedChatModel(table, models)


def model_lists_of(settings: Settings) -> dict[str, ModelLists]:
    """Return the lists of models to ask for in the background, by the upstream's name."""
    if not settings.upstream_model_lists:
        return {}
    return {
        configured.endpoint.name: HttpModelLists(
            configured.endpoint, configured.api_key, configured.headers
        )
        for configured in all_configured(settings)
    }


def _configured(entry: UpstreamEntry, setting: str, name: str | None) -> ConfiguredUpstream:
    endpoint = endpoint_of(
        entry.base_url,
        setting=setting,
        name=name,
        api_version=entry.api_version,
        key_header=entry.key_header,
    )
    return ConfiguredUpstream(endpoint, entry)
