"""The upstream over HTTP: bodies are passed on unchanged in both directions.

This is the only async vendor. The official client is not used: it would parse the bodies, drop
fields that it does not know, and retry requests that the caller has to retry. aiohttp reads a
stream of twenty chunks with a third of the processor time that httpx2 takes (2.5 and 6.7 ms).
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from memory_service.core.errors import InvalidRequest, ServiceError, UpstreamDown, UpstreamTimeout
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
# What aiohttp would add to a request.
_AUTO_HEADERS = ("accept", "accept-encoding", "content-type", "user-agent")
_KEEP_ALIVE_SECONDS = 15.0
_MAX_HEADER_BYTES = 65_536
_PIECES_ABOVE_BYTES = 256 * 1024


class UpstreamClient:
    """The connections to all upstreams: reading the certificates takes 30 ms.

    They are opened by the first request, because aiohttp needs the running event loop.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._connector: aiohttp.TCPConnector | None = None
        self._proxies: dict[tuple[str, str | None], str | None] = {}

    def session(self, *, decoded: bool) -> aiohttp.ClientSession:
        """Return the session that decompresses bodies, or the one that leaves them as they come."""
        if decoded not in self._sessions:
            self._sessions[decoded] = aiohttp.ClientSession(
                connector=self._open_connector(),
                connector_owner=False,
                auto_decompress=decoded,
                # No limit of the whole: an answer may take an hour.
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=self.timeout_seconds
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_AUTO_HEADERS,
                # Else it reads ~/.netrc for each request, and refuses one that has a key of ours.
                trust_env=False,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
            )
        return self._sessions[decoded]

    def proxy_of(self, url: URL) -> str | None:
        """Return the proxy that the environment names for a URL, such as HTTPS_PROXY."""
        origin = (url.scheme, url.host)
        if origin not in self._proxies:
            proxies = {} if proxy_bypass(url.host or "") else getproxies()
            self._proxies[origin] = proxies.get(url.scheme) or proxies.get("all")
        return self._proxies[origin]

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        if self._connector is not None:
            await self._connector.close()
            self._connector = None

    def _open_connector(self) -> aiohttp.TCPConnector:
        if self._connector is None:
            # Each streaming conversation holds a connection: their number is not limited here.
            self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        return self._connector


class HttpUpstream:
    """One server that speaks OpenAI's protocol, asked with a client that upstreams share.

    `headers` are sent with each request. The key of a caller is used only if the service has none,
    and `takes_caller_key`. `instance_id` marks the requests, so that one that comes back is found.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client: UpstreamClient,
        *,
        api_key: str | None,
        instance_id: str,
        takes_caller_key: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._client = client
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
        return await self._post("/chat/completions", content, caller, headers, model)

    async def respond(
        self,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
    ) -> HttpUpstreamAnswer:
        """Send the body of a request for a response."""
        return await self._post("/responses", content, caller, headers, model)

    async def models(self, caller: CallerKey, headers: Mapping[str, str]) -> HttpUpstreamAnswer:
        """Ask for the list of models."""
        sent = {**headers, "accept-encoding": "identity"}
        return await self.request("GET", "/models", caller, sent, decoded=True)

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
        decoded: bool = False,
    ) -> HttpUpstreamAnswer:
        """Send any request; the body of a `decoded` answer is decompressed."""
        sent = {"accept-encoding": "identity", **headers, **self._own_headers(caller, headers)}
        url = URL(self._endpoint.url(path, model=model, query=query), encoded=True)
        if url.raw_user is not None:
            # The credentials of the URL take the place of a key.
            sent.pop("authorization", None)
        with _as_upstream_errors(self._endpoint, self._client.timeout_seconds):
            response = await self._client.session(decoded=decoded).request(
                method,
                url,
                data=_in_pieces(content),
                headers={name: _as_sent(value.strip()) for name, value in sent.items()},
                proxy=self._client.proxy_of(url),
                allow_redirects=False,
            )
        return HttpUpstreamAnswer(response, self._endpoint, self._client.timeout_seconds)

    async def close(self) -> None:
        """Close all connections, also those to other upstreams with the same client."""
        await self._client.close()

    async def _post(
        self,
        path: str,
        content: bytes,
        caller: CallerKey,
        headers: Mapping[str, str],
        model: str | None,
    ) -> HttpUpstreamAnswer:
        # Compressed chunks cannot be passed on as they come.
        sent = {**headers, "content-type": "application/json", "accept-encoding": "identity"}
        return await self.request(
            "POST", path, caller, sent, content=content, model=model, decoded=True
        )

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
        self, response: aiohttp.ClientResponse, endpoint: Endpoint, timeout_seconds: float
    ) -> None:
        self._response = response
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._all_headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.raw_headers
        ]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that concern the caller."""
        return {
            name: value
            for name, value in self._all_headers
            if name in _RETURNED or name.startswith(_RETURNED_PREFIXES)
        }

    @property
    def passed_headers(self) -> Sequence[tuple[str, str]]:
        """All headers but those of the connection and of the upstream's own host."""
        connection = [value for name, value in self._all_headers if name == "connection"]
        named = {name.strip().lower() for value in connection for name in value.split(",")}
        return [
            (name, value)
            for name, value in self._all_headers
            if name not in _NOT_PASSED | named and not name.startswith(_NOT_PASSED_PREFIXES)
        ]

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body's bytes as they come."""
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        with _as_upstream_errors(self._endpoint, self._timeout_seconds):
            return await self._response.read()

    async def close(self) -> None:
        """Release the connection; one whose answer has not ended is closed."""
        self._response.close()


def _in_pieces(
    content: bytes | AsyncIterable[bytes] | None,
) -> io.BytesIO | bytes | AsyncIterable[bytes] | None:
    """Return a large body in a form that is sent in pieces, so that other requests go on."""
    if isinstance(content, bytes) and len(content) > _PIECES_ABOVE_BYTES:
        return io.BytesIO(content)
    return content


def _as_sent(value: str) -> str:
    """Return a header's value so that its bytes are forwarded: it was decoded as Latin-1.

    aiohttp encodes headers as UTF-8. A value that is not UTF-8 is sent as the same characters.
    """
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


@contextmanager
def _as_upstream_errors(endpoint: Endpoint, timeout_seconds: float) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise UpstreamTimeout(
            f"The model's server {endpoint.name} did not answer within {CONNECT_SECONDS:g} s "
            f"({endpoint.setting})."
        ) from error
    except aiohttp.ServerTimeoutError as error:
        raise UpstreamTimeout(
            f"The model's server was silent for {timeout_seconds:g} s "
            "(MEMORY_UPSTREAM_TIMEOUT_SECONDS)."
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise UpstreamDown(
            f"The model's server {endpoint.name} cannot be reached ({endpoint.setting})."
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, ServiceError):
            # The body of the request could not be read to its end: that is the caller's error.
            raise error.__cause__ from error
        raise UpstreamDown(
            f"The model's server broke off: {type(error).__name__}.", code="upstream_broke_off"
        ) from error
    except ValueError as error:
        raise InvalidRequest(f"A header of the request cannot be forwarded: {error}.") from error
