"""The upstream over HTTP: bodies are passed on unchanged in both directions.

This is the only async vendor. The official client is not used: it would parse the bodies, drop
fields that it does not know, and retry requests that the caller has to retry.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import httpx2

from memory_service.core.errors import InvalidRequest, UpstreamDown, UpstreamTimeout

CONNECT_SECONDS = 10.0

_RETURNED = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
_RETURNED_PREFIXES = ("x-ratelimit-", "openai-")


class HttpUpstream:
    """Chat completions and models of one server that speaks OpenAI's protocol."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            # Each streaming conversation holds a connection: their number is not limited here.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            follow_redirects=False,
        )

    @property
    def name(self) -> str:
        """The base URL without credentials, query and trailing slash."""
        url = urlsplit(self._base_url)
        host = url.netloc.rpartition("@")[2]
        return urlunsplit((url.scheme, host, url.path.rstrip("/"), "", ""))

    @property
    def has_key(self) -> bool:
        """Whether the settings have a key for the upstream."""
        return self._api_key is not None

    async def complete(
        self, content: bytes, authorization: str | None, headers: Mapping[str, str]
    ) -> HttpUpstreamAnswer:
        """Send a chat completion's body."""
        sent = {**headers, "content-type": "application/json"}
        return await self._send("POST", "/chat/completions", content, authorization, sent)

    async def respond(
        self, content: bytes, authorization: str | None, headers: Mapping[str, str]
    ) -> HttpUpstreamAnswer:
        """Send the body of a request for a response."""
        sent = {**headers, "content-type": "application/json"}
        return await self._send("POST", "/responses", content, authorization, sent)

    async def models(
        self, authorization: str | None, headers: Mapping[str, str]
    ) -> HttpUpstreamAnswer:
        """Ask for the list of models."""
        return await self._send("GET", "/models", None, authorization, headers)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        authorization: str | None,
        headers: Mapping[str, str],
    ) -> HttpUpstreamAnswer:
        if authorization is None and self._api_key is not None:
            authorization = f"Bearer {self._api_key}"
        # Compressed chunks cannot be passed on as they come.
        sent = {**headers, "accept-encoding": "identity"}
        if authorization:
            sent["authorization"] = authorization
        with _as_upstream_errors(self._base_url, self._timeout_seconds):
            request = self._client.build_request(
                method,
                f"{self._base_url}{path}",
                content=content,
                # As bytes: headers may contain Latin-1.
                headers=[
                    (name.encode("latin-1"), value.strip().encode("latin-1"))
                    for name, value in sent.items()
                ],
            )
            response = await self._client.send(request, stream=True)
        return HttpUpstreamAnswer(response, self._base_url, self._timeout_seconds)


class HttpUpstreamAnswer:
    """An answer whose status and headers have arrived."""

    def __init__(self, response: httpx2.Response, base_url: str, timeout_seconds: float) -> None:
        self._response = response
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that concern the caller."""
        return {
            name: value
            for name, value in self._response.headers.items()
            if name in _RETURNED or name.startswith(_RETURNED_PREFIXES)
        }

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come."""
        with _as_upstream_errors(self._base_url, self._timeout_seconds):
            async for chunk in self._response.aiter_bytes():
                yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        with _as_upstream_errors(self._base_url, self._timeout_seconds):
            return await self._response.aread()

    async def close(self) -> None:
        """Release the connection."""
        await self._response.aclose()


@contextmanager
def _as_upstream_errors(base_url: str, timeout_seconds: float) -> Iterator[None]:
    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise UpstreamTimeout(
            f"The model's server at {base_url} did not answer within {CONNECT_SECONDS:g} s "
            "(MEMORY_UPSTREAM_BASE_URL)."
        ) from error
    except httpx2.TimeoutException as error:
        raise UpstreamTimeout(
            f"The model's server was silent for {timeout_seconds:g} s "
            "(MEMORY_UPSTREAM_TIMEOUT_SECONDS)."
        ) from error
    except httpx2.ConnectError as error:
        raise UpstreamDown(
            f"The model's server at {base_url} cannot be reached (MEMORY_UPSTREAM_BASE_URL)."
        ) from error
    except httpx2.LocalProtocolError as error:
        raise InvalidRequest(f"A header of the request cannot be forwarded: {error}.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise UpstreamDown(
            f"The model's server broke off: {type(error).__name__}.", code="upstream_broke_off"
        ) from error
