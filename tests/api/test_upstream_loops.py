"""An upstream that leads back to the service is found at the start, or when a request returns."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory_service.composition.own_address import check_upstreams
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.chatting import gateway, in_conversation, user
from tests.support.recording_upstream import recording_upstream
from tests.support.upstream import serving

PASSED = ("content-type", "x-memory-hop", "x-conversation-id", "authorization")


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Serve another server's routes; the address of that server is the last of the list."""
    targets: list[str] = []

    async def forward(request: Request) -> Response:
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        async with httpx2.AsyncClient(timeout=60) as client:
            url = f"{targets[-1]}{request.url.path}"
            content = await request.body()
            answer = await client.request(request.method, url, content=content, headers=headers)
        return Response(answer.content, answer.status_code, media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
    with serving(app) as address:
        yield address, targets


def test_loop_through_another_server(tmp_path: Path) -> None:
    with (
        proxy() as (address, targets),
        gateway(tmp_path, light=True, upstream_base_url=f"{address}/v1") as service,
    ):
        targets.append(service.address)
        body = {"model": "m", "messages": user("hello")}
        for method, path in (
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/embeddings"),
            ("GET", "/v1/models"),
        ):
            response = service.http.request(method, path, json=body if method == "POST" else None)
            assert response.status_code == 508, path
            assert response.json()["error"]["code"] == "upstream_loop"
        response = service.send("hello", headers=in_conversation("c"))
        assert response.json()["error"]["code"] == "upstream_loop"
        assert service.texts("c") == ["hello"]


def test_chain_of_services_is_no_loop(tmp_path: Path) -> None:
    with (
        recording_upstream() as upstream,
        gateway(tmp_path / "a", light=True, upstream_base_url=f"{upstream.address}/v1") as inner,
        gateway(tmp_path / "b", light=True, upstream_base_url=f"{inner.address}/v1") as outer,
    ):
        outer.http.post("/v1/embeddings", json={}).raise_for_status()
        hops = upstream.last.headers["x-memory-hop"]
        assert len(hops.split(", ")) == 2
        returned = outer.http.post("/v1/embeddings", json={}, headers={"x-memory-hop": hops})
        # OpenAI's client would repeat the request.
        assert (returned.status_code, returned.headers["x-should-retry"]) == (508, "false")


@pytest.mark.parametrize(
    ("host", "upstream", "is_loop"),
    [
        ("127.0.0.1", "http://127.0.0.1:{port}/v1", True),
        ("127.0.0.1", "http://localhost:{port}/v1", True),
        ("127.0.0.1", "http://me:secret@127.0.0.1:{port}/v1?k=v", True),
        ("127.0.0.1", "http://0.0.0.0:{port}/v1", True),
        ("127.0.0.1", "http://127.0.0.1/v1", False),
        ("127.0.0.1", "http://127.0.0.1:1/v1", False),
        ("127.0.0.1", "http://127.0.0.2:{port}/v1", False),
        ("127.0.0.1", "http://192.0.2.1:{port}/v1", False),
        ("0.0.0.0", "http://127.0.0.1:{port}/v1", True),  # noqa: S104
        ("0.0.0.0", "http://127.0.0.7:{port}/v1", True),  # noqa: S104
        ("0.0.0.0", "http://192.0.2.1:{port}/v1", False),  # noqa: S104
        ("::", "http://[::1]:{port}/v1", True),
    ],
)
def test_upstream_at_the_own_address(host: str, upstream: str, *, is_loop: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        url = upstream.format(port=listener.getsockname()[1])
        for settings in (
            Settings(upstream_base_url=url),
            Settings(upstreams={"loop": {"base_url": url}}),  # type: ignore[dict-item]
        ):
            if is_loop:
                with pytest.raises(StartupError, match="MEMORY_UPSTREAM") as caught:
                    check_upstreams(settings, listener)
                assert "secret" not in caught.value.message
            else:
                check_upstreams(settings, listener)


def test_service_does_not_start_before_itself(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fields = settings.model_dump(exclude_unset=True)
    changes = {"port": port, "upstream_base_url": f"http://localhost:{port}/v1"}
    with (
        pytest.raises(StartupError, match="this service itself"),
        running(Settings(**{**fields, **changes}), "tests"),
    ):
        pass
