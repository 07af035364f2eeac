"""URLs of requests to an upstream, and the header that carries its key."""

from __future__ import annotations

import pytest

from memory_service.core.errors import StartupError
from memory_service.llm.endpoint import endpoint_of

AZURE = "https://acme.openai.azure.com"
TOKEN = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"


@pytest.mark.parametrize(
    ("base_url", "api_version", "query", "expected"),
    [
        ("http://h:1/v1", None, "", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", None, "", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1", None, "a=%20b&c", "http://h:1/v1/chat/completions?a=%20b&c"),
        ("http://h/v1?k=v", None, "", "http://h/v1/chat/completions?k=v"),
        ("http://h/v1?k=v&l=%2F", None, "a=b", "http://h/v1/chat/completions?k=v&l=%2F&a=b"),
        # What the settings say takes precedence, also over an encoded name.
        ("http://h/v1?k=v", None, "k=w&a=b&%6B=x", "http://h/v1/chat/completions?k=v&a=b"),
        ("http://h/v1", "1", "", "http://h/v1/chat/completions?api-version=1"),
        ("http://h/v1?api-version=2", "1", "", "http://h/v1/chat/completions?api-version=1"),
        (AZURE, None, "", f"{AZURE}/openai/v1/chat/completions"),
        (f"{AZURE}/openai", None, "", f"{AZURE}/openai/v1/chat/completions"),
        (
            f"{AZURE}/openai/v1?api-version=preview",
            None,
            "api-version=2024-10-21",
            f"{AZURE}/openai/v1/chat/completions?api-version=preview",
        ),
        (
            f"{AZURE}/openai/deployments/d?api-version=2024-10-21",
            None,
            "",
            f"{AZURE}/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        (
            AZURE,
            "2024-10-21",
            "",
            f"{AZURE}/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/openai/?api-version=2024-10-21",
            None,
            "",
            f"{AZURE}/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21",
        ),
        ("http://h/openai", "1", "", "http://h/openai/chat/completions?api-version=1"),
    ],
)
def test_url_of_chat_completions(
    base_url: str, api_version: str | None, query: str, expected: str
) -> None:
    endpoint = endpoint_of(base_url, setting="S", api_version=api_version)
    assert endpoint.url("/chat/completions", model="m/1", query=query) == expected


@pytest.mark.parametrize("path", ["/models", "/files", "/responses", "/batches/b"])
def test_azure_routes_without_a_deployment(path: str) -> None:
    endpoint = endpoint_of(AZURE, setting="S", api_version="1")
    assert endpoint.url(path, model="m") == f"{AZURE}/openai{path}?api-version=1"


@pytest.mark.parametrize(
    ("base_url", "key_header", "authorization", "expected"),
    [
        ("http://h/v1", None, "Bearer k", {"authorization": "Bearer k"}),
        (AZURE, None, "Bearer k", {"api-key": "k"}),
        (AZURE, None, "bearer  k ", {"api-key": "k"}),
        (AZURE, None, TOKEN, {"authorization": TOKEN}),
        (AZURE, None, "Basic eDp5", {"authorization": "Basic eDp5"}),
        (AZURE, "Authorization", "Bearer k", {"authorization": "Bearer k"}),
        ("http://h/v1", "X-Api-Key", "Bearer k", {"x-api-key": "k"}),
        ("https://x.azure-api.net/y/openai/v1", None, "Bearer k", {"api-key": "k"}),
        (
            "https://openai.azure.com.example.org/v1",
            None,
            "Bearer k",
            {"authorization": "Bearer k"},
        ),
    ],
)
def test_header_of_the_key(
    base_url: str, key_header: str | None, authorization: str, expected: dict[str, str]
) -> None:
    endpoint = endpoint_of(base_url, setting="S", key_header=key_header)
    assert endpoint.key_headers(authorization) == expected


@pytest.mark.parametrize(
    "base_url", ["https://me:secret@h:8/v1/?code=secret", "https://me:secret@h:8/v1?code=secret"]
)
def test_name_has_no_secrets(base_url: str) -> None:
    assert endpoint_of(base_url, setting="S").name == "https://h:8/v1"


@pytest.mark.parametrize("url", ["ftp://x/v1", "127.0.0.1:1", "http://[::1", "http://h:x/v1"])
def test_invalid_url_stops_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="MEMORY_UPSTREAM_BASE_URL"):
        endpoint_of(url, setting="MEMORY_UPSTREAM_BASE_URL")
