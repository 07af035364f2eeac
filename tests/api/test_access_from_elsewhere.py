"""CORS, and who may call a service without API keys from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from memory_service.api.auth import KeylessAccess
from memory_service.core.errors import Forbidden, StartupError
from memory_service.core.settings import Settings, load_settings
from memory_service.server import _check_exposure
from tests.gateway.test_access import create_key
from tests.support.chatting import RunningGateway, gateway, in_conversation, new_id

APP = "https://app.example.org"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-conversation-id, x-memory",
    "access-control-request-private-network": "true",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("cors")
    with gateway(folder, light=True, cors_origins=(APP, "chrome-extension://x")) as running:
        yield running


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Return a service for all origins, without API keys."""
    with gateway(tmp_path_factory.mktemp("open"), light=True, cors_origins=("*",)) as running:
        yield running


@pytest.mark.parametrize("origin", [APP, "chrome-extension://x"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/openai/v1/models"])
def test_preflight_of_a_listed_origin(service: RunningGateway, path: str, origin: str) -> None:
    response = service.http.options(path, headers={"origin": origin, **PREFLIGHT})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert "x-conversation-id" in response.headers["access-control-allow-headers"]
    assert response.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://example.org", f"{APP}.evil.org", "null", f"{APP}:81"])
def test_preflight_of_another_origin(service: RunningGateway, origin: str) -> None:
    response = service.http.options("/v1/models", headers={"origin": origin, **PREFLIGHT})
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


def test_page_of_a_listed_origin_reads_answers_and_headers(service: RunningGateway) -> None:
    response = service.send("hello", headers=in_conversation(new_id(), origin=APP))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    ours = {name for name in response.headers if name.startswith("x-memory-")}
    assert ours | {"x-conversation-id", "x-request-id"} <= exposed


def test_page_reads_errors(service: RunningGateway) -> None:
    for path in ("/v1/conversations/none", "/v2/none"):
        response = service.http.get(path, headers={"origin": APP})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (404, APP)


def test_any_origin_does_not_open_a_service_without_keys(open_service: RunningGateway) -> None:
    response = open_service.http.get("/v1/conversations", headers={"origin": APP})
    assert response.status_code == 403
    assert response.headers["access-control-allow-origin"] == "*"


def test_cors_is_off_by_default_and_a_key_may_come_as_azures(tmp_path: Path) -> None:
    with gateway(tmp_path, light=True) as service:
        preflight = {"origin": APP, **PREFLIGHT}
        response = service.http.options("/v1/models", headers=preflight)
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers
        key = create_key(service)
        statuses = [
            service.http.get("/v1/conversations", headers={"api-key": sent}).status_code
            for sent in (key, f"{key}x")
        ]
        assert statuses == [200, 401]


def request_of(client: str, host: str, origin: str | None = None) -> Request:
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    return Request({"type": "http", "client": (client, 1), "headers": headers})


ACCESS = KeylessAccess(
    clients=[ip_network("172.17.0.0/16"), ip_network("fd00::/8")],
    hosts=["host.docker.internal", "memory.local"],
    origins=[APP, "*"],
)
"""A service for containers, and for one web page."""


@pytest.mark.parametrize(
    ("client", "host", "origin"),
    [
        ("127.0.0.1", "host.docker.internal:8000", None),
        ("127.0.0.1", "HOST.docker.internal", None),
        ("172.17.0.2", "127.0.0.1:8000", None),
        ("172.17.255.255", "host.docker.internal", None),
        ("::ffff:172.17.0.2", "memory.local", None),
        ("fd00::1", "memory.local", None),
        ("127.0.0.1", "localhost", APP),
        ("127.0.0.1", "localhost", "http://host.docker.internal:3000"),
        ("172.17.0.2", "memory.local", "http://localhost:3000"),
    ],
)
def test_keyless_access_that_settings_allow(client: str, host: str, origin: str | None) -> None:
    ACCESS.check(request_of(client, host, origin))


@pytest.mark.parametrize(
    ("client", "host", "origin"),
    [
        ("172.18.0.2", "localhost", None),
        ("8.8.8.8", "host.docker.internal", None),
        ("::ffff:8.8.8.8", "memory.local", None),
        ("", "localhost", None),
        ("172.17.0.2", "evil.org", None),
        ("172.17.0.2", "host.docker.internal.evil.org", None),
        ("172.17.0.2", "172.17.0.1", None),
        ("127.0.0.1", "x@host.docker.internal.org", None),
        ("127.0.0.1", "localhost", "https://example.org"),
        ("127.0.0.1", "localhost", "null"),
        ("127.0.0.1", "localhost", f"{APP}:8443"),
        ("127.0.0.1", "localhost", f"{APP}.evil.org"),
    ],
)
def test_keyless_access_that_settings_do_not_allow(
    client: str, host: str, origin: str | None
) -> None:
    with pytest.raises(Forbidden):
        ACCESS.check(request_of(client, host, origin))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEMORY_ALLOWED_CLIENTS", "0.0.0.0/0"),
        ("MEMORY_ALLOWED_CLIENTS", "172.17.0.0/16, 8.8.8.8"),
        ("MEMORY_ALLOWED_CLIENTS", "::/0"),
        ("MEMORY_ALLOWED_CLIENTS", "docker"),
        ("MEMORY_ALLOWED_CLIENTS", "172.17.0.1/16"),
        ("MEMORY_ALLOWED_HOSTS", "*"),
        ("MEMORY_ALLOWED_HOSTS", "http://host.docker.internal"),
        ("MEMORY_ALLOWED_HOSTS", "host.docker.internal:8000"),
        ("MEMORY_CORS_ORIGINS", "null"),
        ("MEMORY_CORS_ORIGINS", "app.example.org"),
        ("MEMORY_CORS_ORIGINS", "https://app.example.org/"),
        ("MEMORY_CORS_ORIGINS", "https://*.example.org"),
        ("MEMORY_FORWARDED_HEADERS", "x y"),
        ("MEMORY_FORWARDED_HEADERS", "*"),
        ("MEMORY_MAX_PASSED_BODY_BYTES", "0"),
        ("MEMORY_UPSTREAM_KEY_HEADER", "x y"),
    ],
)
def test_impossible_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError, match=variable):
        load_settings()


def test_other_addresses_need_keys_or_allowed_clients(settings: Settings) -> None:
    fields: dict[str, Any] = {**settings.model_dump(exclude_unset=True), "host": "0.0.0.0"}  # noqa: S104
    with pytest.raises(StartupError, match="keys create"):
        _check_exposure(Settings(**fields))
    _check_exposure(Settings(**{**fields, "allowed_clients": ["172.17.0.0/16"]}))
