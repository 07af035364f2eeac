"""Requests to an upstream: what the environment of the process changes in them, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from yarl import URL

from memory_service.core.models import CallerKey
from memory_service.llm.endpoint import endpoint_of
from memory_service.llm.upstream import HttpUpstream, UpstreamClient
from tests.support.recording_upstream import RecordingUpstream, recording_upstream


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingUpstream]:
    with recording_upstream() as upstream:
        yield upstream


def authorization_sent(server: RecordingUpstream, base_url: str) -> str | None:
    """Return the Authorization of a request to an upstream with the key `k`."""

    async def ask() -> None:
        client = UpstreamClient(30)
        upstream = HttpUpstream(
            endpoint_of(base_url, setting="TEST"), client, api_key="k", instance_id="tests"
        )
        answer = await upstream.models(CallerKey(), {})
        await answer.close()
        await client.close()

    anyio.run(ask)
    return server.last.headers.get("authorization")


def test_credentials_of_netrc_are_not_sent(
    server: RecordingUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    assert authorization_sent(server, server.address) == "Bearer k"


def test_credentials_of_url_take_the_place_of_a_key(server: RecordingUpstream) -> None:
    base_url = server.address.replace("http://", "http://me:secret@")
    assert authorization_sent(server, base_url) == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"all_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example.org"}, None),
    ],
)
def test_proxy_is_that_of_the_environment(
    variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert UpstreamClient(30).proxy_of(URL("https://api.example.org/v1")) == proxy
