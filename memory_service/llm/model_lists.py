"""The lists of models of one server: OpenAI's route, and the own routes of local servers.

They are asked in the background: a failure is no error, the list is then unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx2

from memory_service.core.protocols import ListKind
from memory_service.llm.endpoint import Endpoint
from memory_service.llm.openai_client import is_nearby

TIMEOUT_SECONDS: Final = 5.0

_OWN_ROUTES: Final[dict[ListKind, str]] = {
    "lm_studio": "/api/v0/models",
    "ollama": "/api/ps",
}
"""Below the server's root, not below its base URL."""


class HttpModelLists:
    """Asks one server for its lists of models.

    A public server is asked for OpenAI's list only, and only with a key.
    """

    def __init__(
        self, endpoint: Endpoint, api_key: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._endpoint = endpoint
        self._has_key = api_key is not None
        key_headers = {} if api_key is None else endpoint.key_headers(f"Bearer {api_key}")
        self._headers = {**(headers or {}), **key_headers}
        self.is_nearby = is_nearby(endpoint.root)
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False)

    @property
    def kinds(self) -> tuple[ListKind, ...]:
        """The lists that may be asked for, the likeliest first."""
        if self.is_nearby:
            return ("openai", *_OWN_ROUTES)
        return ("openai",) if self._has_key else ()

    async def fetch(self, kind: ListKind) -> bytes | None:
        """Return a list's body, None if the server does not have it or cannot be reached."""
        try:
            response = await self._client.get(self._url(kind), headers=self._headers)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return None
        return response.content if response.is_success else None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _url(self, kind: ListKind) -> str:
        if kind == "openai":
            return self._endpoint.url("/models")
        return self._endpoint.root.removesuffix("/v1") + _OWN_ROUTES[kind]
