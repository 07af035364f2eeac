"""The upstream over HTTP: bodies are passed on unchanged in both directions.

This is the only async vendor. The official client is not used: it would parse the bodies, drop
fields that it does not know, and retry requests that the caller has to retry.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx2

from memory_service.core.errors import InvalidRequest, UpstreamDown, UpstreamTimeout
from memory_service.core.models import HOP_HEADER, CallerKey
from memory_service.llm.endpoint import Endpoint

CONNECT_SECONDS = 10.0

_RETURNED = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
_RETURNED_PREFIXES = ("x-ratelimit-", "openai-")
_NOT_PASSED = frozenset(
    {
        # Of the connection: RFC 9110, section 7.6.1.
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "proxy-authenticate", "proxy-authorization"),
        # Of the upstream's own host.
        *("date", "server", "alt-svc", "set-cookie", "strict-transport-security", "x-request-id"),
        HOP_HEADER,
    }
)
_NOT_PASSED_PREFIXES = ("access-control-",)


def upstream_client(timeout_seconds: float) -> httpx2.AsyncClient:
    """Return the client of all upstreams: reading the certificates takes 30 ms."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        # Each streaming conversation holds a connection: their number is not limited here.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
        follow_redirects=False,
    )


class HttpUpstream:
    """One server that speaks OpenAI's protocol, asked with a client that upstreams share.

    `headers` are sent with each request. The key of a caller is used only if the service has none,
    and `takes_caller_key`. `instance_id` marks the requests, so that one that comes back is found.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client: httpx2.AsyncClient,
        *,
        api_key: str | None,
        instance_id: str,
        takes_caller_key: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._client = client
        self._timeout_seconds = client.timeout.read or 0.0
        self._instance_id = instance_id
        self._takes_caller_key = takes_caller_key
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}

    @property
    def name(self) -> str:
        """Its name in the settings, or its base URL without credentials, query and final slash."""
        return self._endpoint.name

    @property
    def has_path_by_model(self) -> bool:
        """Whether the model decides the path of some requests."""
        return self._endpoint.has_deployments

    def uses_key_of(self, caller: CallerKey) -> bool:
        """Return whether a request would be sent with the caller's key, not with ours or none."""
        if caller.replaces_ours:
            return bool(caller.authorization)
        return self._api_key is None and self._takes_caller_key and bool(caller.authorization)

    async def complete(
        self,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
    ) -> HttpUpstreamAnswer:
        """Send a chat completion's body."""
        # Compressed chunks cannot be passed on as they come.
        sent = {**headers, "content-type": "application/json", "accept-encoding": "identity"}
        return await self.request(
            "POST", "/chat/completions", caller, sent, content=content, model=model
        )

    async def respond(
        self,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
    ) -> HttpUpstreamAnswer:
        """Send the body of a request for a response."""
        sent = {**headers, "content-type": "application/json", "accept-encoding": "identity"}
        return await self.request("POST", "/responses", caller, sent, content=content, model=model)

    async def models(self, caller: CallerKey, headers: Mapping[str, str]) -> HttpUpstreamAnswer:
        """Ask for the list of models."""
        sent = {**headers, "accept-encoding": "identity"}
        return await self.request("GET", "/models", caller, sent)

    async def request(
        self,
        method: str,
        path: str,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        query: str = "",
        content: bytes | AsyncIterable[bytes] | None = None,
        model: str | None = None,
    ) -> HttpUpstreamAnswer:
        """Send any request."""
        sent = {"accept-encoding": "identity", **headers, **self._own_headers(caller, headers)}
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            request = self._client.build_request(
                method,
                self._endpoint.url(path, model=model, query=query),
                content=content,
                # As bytes: headers may contain Latin-1.
                headers=[
                    (name.encode("latin-1"), value.strip().encode("latin-1"))
                    for name, value in sent.items()
                ],
            )
            response = await self._client.send(request, stream=True)
        return HttpUpstreamAnswer(response, self._endpoint, self._timeout_seconds)

    async def close(self) -> None:
        """Close all connections, also those to other upstreams with the same client."""
        await self._client.aclose()

    def _own_headers(self, caller: CallerKey, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of the settings, the key, and the instances that were passed."""
        passed = headers.get(HOP_HEADER)
        hops = f"{passed}, {self._instance_id}" if passed else self._instance_id
        authorization = self._authorization(caller)
        key = self._endpoint.key_headers(authorization) if authorization else {}
        return {**self._headers, HOP_HEADER: hops, **key}

    def _authorization(self, caller: CallerKey) -> str | None:
        if self.uses_key_of(caller):
            return caller.authorization
        if caller.replaces_ours or self._api_key is None:
            return None
        return f"Bearer {self._api_key}"


class HttpUpstreamAnswer:
    """An answer whose status and headers have arrived."""

    def __init__(
        self, response: httpx2.Response, endpoint: Endpoint, timeout_seconds: float
    ) -> None:
        self._response = response
        self._endpoint = endpoint
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

    @property
    def passed_headers(self) -> Sequence[tuple[str, str]]:
        """All headers but those of the connection and of the upstream's own host."""
        named = {
            name.strip().lower() for name in self._response.headers.get("connection", "").split(",")
        }
        return [
            (name, value)
            for name, value in self._response.headers.multi_items()
            if name not in _NOT_PASSED | named and not name.startswith(_NOT_PASSED_PREFIXES)
        ]

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come."""
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            async for chunk in self._response.aiter_bytes():
                yield chunk

    async def raw_chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes like `chunks`, but compressed if they came compressed."""
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            async for chunk in self._response.aiter_raw():
                yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            return await self._response.aread()

    async def close(self) -> None:
        """Release the connection."""
        await self._response.aclose()


@contextmanager
def _as_upstream_errors(endpoint: Endpoint, timeout_seconds: float) -> Iterator[None]:
    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise UpstreamTimeout(
            f"The model's server {endpoint.name} did not answer within {CONNECT_SECONDS:g} s "
            f"({endpoint.setting})."
        ) from error
    except httpx2.TimeoutException as error:
        raise UpstreamTimeout(
            f"The model's server was silent for {timeout_seconds:g} s "
            "(MEMORY_UPSTREAM_TIMEOUT_SECONDS)."
        ) from error
    except httpx2.ConnectError as error:
        raise UpstreamDown(
            f"The model's server {endpoint.name} cannot be reached ({endpoint.setting})."
        ) from error
    except httpx2.LocalProtocolError as error:
        raise InvalidRequest(f"A header of the request cannot be forwarded: {error}.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise UpstreamDown(
            f"The model's server broke off: {type(error).__name__}.", code="upstream_broke_off"
        ) from error
