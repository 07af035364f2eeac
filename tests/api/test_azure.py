"""Azure on both sides: clients of Azure's service, and Azure as the upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import openai
import pytest

from tests.support.chatting import RunningGateway, gateway, user
from tests.support.recording_upstream import RecordingUpstream, recording_upstream

BODY = {"model": "m", "messages": user("hello")}


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningGateway, RecordingUpstream]]:
    """Return a service whose upstream takes its key as Azure does."""
    with ExitStack() as stack:
        upstream = stack.enter_context(recording_upstream())
        service = stack.enter_context(
            gateway(
                tmp_path_factory.mktemp("azure"),
                light=True,
                upstream_base_url=f"{upstream.address}/openai/v1?api-version=preview",
                upstream_key_header="api-key",
            )
        )
        yield service, upstream


@pytest.mark.parametrize(
    ("path", "route", "model"),
    [
        ("/openai/v1/chat/completions", "chat/completions", "m"),
        ("/openai/chat/completions", "chat/completions", "m"),
        ("/openai/deployments/d-1/chat/completions", "chat/completions", "d-1"),
        ("/openai/deployments/a%20b/chat/completions", "chat/completions", "a b"),
        ("/openai/deployments/d-1/embeddings", "embeddings", "d-1"),
        ("/openai/v1/embeddings", "embeddings", "m"),
        ("/u/anna/openai/v1/chat/completions", "chat/completions", "m"),
    ],
)
def test_paths_of_azure(
    running: tuple[RunningGateway, RecordingUpstream], path: str, route: str, model: str
) -> None:
    service, upstream = running
    sent = {"api-key": "theirs"}
    query = {"api-version": "2024-10-21"}
    service.http.post(path, json=BODY, headers=sent, params=query).raise_for_status()
    assert upstream.last.path == f"/openai/v1/{route}?api-version=preview"
    assert json.loads(upstream.last.content)["model"] == model
    assert upstream.last.headers["api-key"] == "theirs"
    assert "authorization" not in upstream.last.headers


def test_client_of_azure(running: tuple[RunningGateway, RecordingUpstream]) -> None:
    service, upstream = running
    with openai.AzureOpenAI(
        azure_endpoint=service.address, api_key="theirs", api_version="1", max_retries=0
    ) as client:
        client.chat.completions.create(
            model="deployment", messages=[{"role": "user", "content": "a"}]
        )
        client.embeddings.create(model="deployment", input="a", encoding_format="float")
        client.models.list()
    paths = [request.path.partition("?")[0] for request in upstream.requests[-3:]]
    assert paths == ["/openai/v1/chat/completions", "/openai/v1/embeddings", "/openai/v1/models"]
    assert {request.headers["api-key"] for request in upstream.requests[-3:]} == {"theirs"}


def test_unknown_path_of_azure_is_refused(
    running: tuple[RunningGateway, RecordingUpstream],
) -> None:
    service, _ = running
    for path in ("/openai", "/openai/", "/openaix/v1/models", "/openai/deployments"):
        assert service.http.post(path).status_code in {400, 403, 404, 405}
