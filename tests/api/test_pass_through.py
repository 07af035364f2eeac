"""Routes below /v1 that the service does not have are passed on to the upstream unchanged."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import websockets.sync.client
from starlette.responses import Response, StreamingResponse

from tests.support.chatting import RunningGateway, gateway
from tests.support.recording_upstream import (
    RecordingUpstream,
    lists,
    ok,
    recording_upstream,
)

MULTIPART = "multipart/form-data; boundary=x"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n'
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
)


@pytest.fixture(scope="module")
def passing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningGateway, RecordingUpstream]]:
    """Return a service with a key for its upstream, which has a query in its URL."""
    with ExitStack() as stack:
        upstream = stack.enter_context(recording_upstream())
        running = stack.enter_context(
            gateway(
                tmp_path_factory.mktemp("passing"),
                light=True,
                upstream_base_url=f"{upstream.address}/v1?k=v",
                upstream_api_key="ours",
                max_passed_body_bytes=100_000,
                forwarded_headers=("x-mine", "x-my-*", "cook*"),
            )
        )
        yield running, upstream


@pytest.fixture
def service(passing: tuple[RunningGateway, RecordingUpstream]) -> RunningGateway:
    return passing[0]


@pytest.fixture
def upstream(passing: tuple[RunningGateway, RecordingUpstream]) -> RecordingUpstream:
    passing[1].requests.clear()
    passing[1].answer = ok
    return passing[1]


def error_of(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/v1/embeddings", "/v1/embeddings?k=v"),
        ("POST", "/v1/completions?a=%20b&a=c", "/v1/completions?k=v&a=%20b&a=c"),
        ("POST", "/v1/moderations?k=w", "/v1/moderations?k=v"),
        ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions?k=v"),
        ("POST", "/v1/images/generations", "/v1/images/generations?k=v"),
        ("POST", "/v1/rerank", "/v1/rerank?k=v"),
        ("GET", "/v1/models/gpt-5", "/v1/models/gpt-5?k=v"),
        ("GET", "/v1/models/meta%2Fllama%203", "/v1/models/meta/llama%203?k=v"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", MULTIPART, "application/odd"])
def test_method_path_query_and_body_are_unchanged(
    service: RunningGateway,
    upstream: RecordingUpstream,
    method: str,
    path: str,
    sent: str,
    content_type: str,
) -> None:
    content = FORM if content_type == MULTIPART else b'{"odd":  1, "model":"m"}'
    headers = {"content-type": content_type}
    response = service.http.request(method, path, content=content, headers=headers)
    assert response.json() == {"object": "ok"}
    assert (upstream.last.method, upstream.last.path) == (method, sent)
    assert upstream.last.content == content
    assert upstream.last.headers["content-type"] == content_type
    assert upstream.last.headers["content-length"] == str(len(content))
    assert upstream.last.headers["authorization"] == "Bearer ours"


def test_body_without_length_is_streamed(
    service: RunningGateway, upstream: RecordingUpstream
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a" * 40_000
        yield b"b" * 40_000

    service.http.post("/v1/audio/transcriptions", content=chunks()).raise_for_status()
    assert upstream.last.content == b"a" * 40_000 + b"b" * 40_000
    assert upstream.last.headers["transfer-encoding"] == "chunked"


def test_compressed_bodies_are_passed_on(
    service: RunningGateway, upstream: RecordingUpstream
) -> None:
    unpacked = b'{"data": []}'
    packed = gzip.compress(unpacked)
    upstream.answer = lambda _: Response(packed, headers={"content-encoding": "gzip"})
    headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
    with service.http.stream("POST", "/v1/embeddings", content=packed, headers=headers) as response:
        assert b"".join(response.iter_raw()) == packed
    received = upstream.last
    is_packed = received.headers.get("content-encoding") == "gzip"
    assert (gzip.decompress(received.content) if is_packed else received.content) == unpacked


@pytest.mark.parametrize("length_is_known", [True, False])
def test_body_that_is_too_large_is_refused(
    service: RunningGateway, upstream: RecordingUpstream, *, length_is_known: bool
) -> None:
    content: Any = b"a" * 100_001 if length_is_known else iter([b"a" * 60_000] * 2)
    response = service.http.post("/v1/embeddings", content=content)
    assert error_of(response) == (413, "request_too_large")
    assert upstream.requests == []


@pytest.mark.parametrize("status", [200, 201, 307, 400, 404, 429, 500, 503])
def test_status_headers_and_body_of_answer_are_unchanged(
    service: RunningGateway, upstream: RecordingUpstream, status: int
) -> None:
    headers = {
        "content-type": "audio/mpeg",
        "content-disposition": 'attachment; filename="a.mp3"',
        "location": "/elsewhere",
        "x-odd": "caf\xe9",
        "retry-after": "7",
        "set-cookie": "a=b",
        "connection": "close, x-hop",
        "x-hop": "1",
        "access-control-allow-origin": "*",
    }
    upstream.answer = lambda _: Response(b"\x00\xff", status, headers)
    response = service.http.post("/v1/audio/speech", json={})
    assert (response.status_code, response.content) == (status, b"\x00\xff")
    passed = {"content-type", "content-disposition", "location", "x-odd", "retry-after"}
    assert {name for name in headers if name in response.headers} == passed
    assert {name: response.headers[name] for name in passed} == {
        name: headers[name] for name in passed
    }
    assert response.headers["content-length"] == "2"
    assert response.headers["x-request-id"].startswith("req_")


def test_head_has_no_body(service: RunningGateway, upstream: RecordingUpstream) -> None:
    response = service.http.head("/v1/models/m")
    assert (response.status_code, response.content) == (200, b"")
    assert upstream.last.method in {"HEAD", "GET"}
    assert upstream.last.path == "/v1/models/m?k=v"


def test_answer_is_streamed(service: RunningGateway, upstream: RecordingUpstream) -> None:
    events = [b"data: 1\n\n", b"data: 2\n\n"]
    upstream.answer = lambda _: StreamingResponse(_chunks(events), media_type="text/event-stream")
    with service.http.stream("POST", "/v1/completions", json={"stream": True}) as response:
        assert b"".join(response.iter_raw()) == b"".join(events)
        assert response.headers["content-type"].startswith("text/event-stream")


async def _chunks(chunks: list[bytes], *, breaks: bool = False) -> Any:
    for chunk in chunks:
        yield chunk
    if breaks:
        raise ConnectionError


def test_stream_that_breaks_off_ends_with_an_error_event(
    service: RunningGateway, upstream: RecordingUpstream
) -> None:
    upstream.answer = lambda _: StreamingResponse(
        _chunks([b"data: 1\n\n"], breaks=True), media_type="text/event-stream"
    )
    response = service.http.post("/v1/completions", json={"stream": True})
    assert response.text.startswith("data: 1\n\ndata: {")
    assert '"code":"upstream_broke_off"' in response.text


def test_body_that_breaks_off_is_not_taken_for_whole(
    service: RunningGateway, upstream: RecordingUpstream
) -> None:
    upstream.answer = lambda _: StreamingResponse(_chunks([b"RIFF"], breaks=True))
    with pytest.raises(httpx2.RemoteProtocolError):
        service.http.post("/v1/audio/speech", json={})


def test_headers_that_are_forwarded(service: RunningGateway, upstream: RecordingUpstream) -> None:
    forwarded = {
        "accept": "audio/mpeg",
        "user-agent": "client/1",
        "openai-beta": "x=1",
        "anthropic-version": "1",
        "x-title": "t",
        "http-referer": "r",
        "x-stainless-lang": "python",
        "idempotency-key": "i",
        "x-mine": "1",
        # UTF-8, as Latin-1 shows it.
        "x-my-own": "caf\xc3\xa9",
    }
    kept = {
        "cookie": "a=b",
        "x-api-key": "k",
        "api-key": "k",
        "x-conversation-id": "c",
        "x-user-id": "u",
        "x-memory": "off",
        "origin": "http://localhost",
        "x-other": "1",
    }
    sent = {**forwarded, **kept, "authorization": "Bearer theirs"}
    encoded = {name.encode(): value.encode("latin-1") for name, value in sent.items()}
    service.http.post("/v1/embeddings", json={}, headers=encoded).raise_for_status()
    received = upstream.last.headers
    assert {name: received.get(name) for name in forwarded} == forwarded
    assert [name for name in kept if name in received] == []
    assert received["authorization"] == "Bearer ours"
    assert received["host"] == urlsplit(upstream.address).netloc


ADMINISTRATIVE = [
    ("POST", "/v1/files"),
    ("GET", "/v1/files/f/content"),
    ("DELETE", "/v1/models/m"),
    ("GET", "/v1/organization/users"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/assistants"),
    ("POST", "/v1/vector_stores"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/realtime/client_secrets"),
    ("GET", "/v1/unknown"),
    ("PUT", "/v1/embeddings"),
    ("GET", "/v1/models%2F..%2Ffiles"),
    ("GET", "/v1/f%69les"),
]
TRICKS = [
    "/v1/models/../files",
    "/v1/models/%2e%2e/files",
    "/v1/models/%252e%252e/files",
    "/v1/models/..%2ffiles",
    "/v1/models/..;/files",
    "/v1/models//files",
    "/v1/models/.%2e/files",
    "/v1/models/%5c..%5cfiles",
    "/v1/models/a%00b",
    "/v1/audio/speech/../../files",
]


@pytest.mark.parametrize(("method", "path"), ADMINISTRATIVE)
def test_administrative_routes_need_the_callers_key(
    service: RunningGateway, upstream: RecordingUpstream, method: str, path: str
) -> None:
    headers = {"authorization": "Bearer theirs"}
    status, code = error_of(service.http.request(method, path, headers=headers))
    assert (status, code) in {(403, "route_not_passed"), (400, "invalid_path")}
    assert upstream.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", TRICKS)
def test_path_does_not_escape_the_policy(
    service: RunningGateway, upstream: RecordingUpstream, method: str, path: str
) -> None:
    # Over a socket: clients resolve dots themselves.
    parts = urlsplit(service.address)
    with socket.create_connection((str(parts.hostname), parts.port or 0)) as connection:
        connection.sendall(
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n"
            "connection: close\r\n\r\n".encode()
        )
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    # Two slashes are read as one, which is another model.
    passed = {request.path for request in upstream.requests}
    assert passed <= {"/v1/models/files?k=v"}
    assert passed or received.split(b" ", 2)[1] in {b"400", b"403"}


@pytest.mark.parametrize("path", ["/v1/conversations/c/unknown", "/v1/search/x", "/v1/traces/t/x"])
def test_paths_below_the_services_own_are_not_passed(
    service: RunningGateway, upstream: RecordingUpstream, path: str
) -> None:
    assert error_of(service.http.get(path)) == (404, "unknown_route")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/conversations"), ("DELETE", "/v1/chat/completions"), ("POST", "/v1/models")],
)
def test_other_methods_of_own_routes_are_not_passed(
    service: RunningGateway, upstream: RecordingUpstream, method: str, path: str
) -> None:
    assert error_of(service.http.request(method, path)) == (405, "method_not_allowed")
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/v2/embeddings", "/embeddings", "/v1"])
def test_paths_outside_v1_are_unknown(service: RunningGateway, path: str) -> None:
    assert error_of(service.http.post(path)) == (404, "unknown_route")


def test_websocket_is_refused_with_an_error(service: RunningGateway) -> None:
    address = service.address.replace("http", "ws")
    with (
        pytest.raises(websockets.InvalidStatus) as caught,
        websockets.sync.client.connect(f"{address}/v1/realtime?model=m"),
    ):
        pass
    assert caught.value.response.status_code == 501
    assert json.loads(caught.value.response.body or b"")["error"]["code"] == "not_supported"


def test_without_upstream_routes_are_unknown(tmp_path: Path) -> None:
    with gateway(tmp_path, light=True, upstream_base_url=None) as running:
        for path in ("/v1/embeddings", "/v1/files", "/v1/models/../x"):
            assert error_of(running.http.post(path)) == (404, "unknown_route")


@pytest.mark.parametrize(
    ("settings", "headers", "expected"),
    [
        # Without a key of its own, the service passes the caller's.
        ({}, {"authorization": "Bearer theirs"}, "Bearer theirs"),
        ({}, {"api-key": "theirs"}, "Bearer theirs"),
        ({}, {}, None),
        (
            {"upstream_api_key": "ours", "upstream_authorization_header": True},
            {"x-upstream-authorization": "Bearer theirs", "authorization": "Bearer other"},
            "Bearer theirs",
        ),
        (
            {"upstream_api_key": "ours", "upstream_authorization_header": True},
            {"authorization": "Bearer other"},
            None,
        ),
        ({"upstream_api_key": "ours", "pass_routes": ("GET files",)}, {}, "Bearer ours"),
    ],
)
def test_administrative_route_with_the_callers_key(
    tmp_path: Path,
    upstream: RecordingUpstream,
    settings: dict[str, Any],
    headers: dict[str, str],
    expected: str | None,
) -> None:
    base_url = f"{upstream.address}/v1"
    with gateway(tmp_path, light=True, upstream_base_url=base_url, **settings) as running:
        response = running.http.get("/v1/files", headers=headers)
    if expected is None:
        assert error_of(response) == (403, "route_not_passed")
        assert upstream.requests == []
    else:
        assert response.status_code == 200
        assert upstream.last.headers["authorization"] == expected


def test_models_of_one_upstream_are_its_own_list(
    service: RunningGateway, upstream: RecordingUpstream
) -> None:
    upstream.answer = lists("b", "second/a")
    models = service.http.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["b", "second/a"]
