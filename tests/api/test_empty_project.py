"""Every route of a project without data returns a valid response."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from memory_service.api.app import create_app
from memory_service.composition.data_folder import open_log
from memory_service.core import clock
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.factories import message
from tests.support.upstream import running_upstream

PATHS = create_app(Settings(data_dir=Path("never-opened"))).openapi()["paths"]
ROUTES = [(method, path) for path, operations in PATHS.items() for method in operations]
CHAT = "/v1/chat/completions"
COMPLETION = f"{CHAT}/{{completion_id}}"
RESPONSES = "/v1/responses"
RESPONSE = f"{RESPONSES}/{{response_id}}"
CONVERSATION = "/v1/conversations/{conversation_id}"
SEARCH = "/v1/search"
CHAT_BODY = {"model": "m", "messages": [message("hello?")], "user": "nobody"}
CASES: list[tuple[str, str, Any, int]] = [
    ("get", "/healthz", None, 200),
    ("get", "/readyz", None, 200),
    ("get", "/v1/conversations", None, 200),
    ("get", "/v1/users", None, 200),
    ("get", "/v1/models", None, 200),
    ("get", CONVERSATION, None, 404),
    ("post", CONVERSATION, {"title": "t"}, 404),
    ("delete", CONVERSATION, None, 404),
    ("get", f"{CONVERSATION}/items", None, 404),
    ("post", f"{CONVERSATION}/items", {"items": [message("hello")]}, 404),
    ("get", f"{CONVERSATION}/items/{{item_id}}", None, 404),
    ("delete", f"{CONVERSATION}/items/{{item_id}}", None, 404),
    ("get", f"{CONVERSATION}/summaries", None, 404),
    ("post", f"{CONVERSATION}/context", {"input": "hello?"}, 404),
    ("post", f"{CONVERSATION}/context", {"input": "hello?", "store": True}, 404),
    ("post", SEARCH, {"query": "x", "conversation_id": "c"}, 404),
    ("post", SEARCH, {"query": "x", "user_id": "u", "summaries": 3}, 404),
    ("delete", "/v1/users/{user_id}", None, 404),
    ("get", "/v1/receipts/{receipt_id}", None, 404),
    ("get", "/v1/traces/{trace_id}", None, 404),
    ("post", CHAT, {**CHAT_BODY, "user": None}, 200),
    ("post", CHAT, {**CHAT_BODY, "messages": [message("be kind", "system")]}, 200),
    ("get", CHAT, None, 200),
    ("get", COMPLETION, None, 404),
    ("post", COMPLETION, {"metadata": {}}, 404),
    ("delete", COMPLETION, None, 404),
    ("get", f"{COMPLETION}/messages", None, 404),
    ("post", f"{RESPONSES}/input_tokens", {"input": "hello?"}, 200),
    ("get", RESPONSE, None, 404),
    ("delete", RESPONSE, None, 404),
    ("post", f"{RESPONSE}/cancel", None, 404),
    ("get", f"{RESPONSE}/input_items", None, 404),
    ("post", RESPONSES, {"model": "m", "input": "hello?", "store": False}, 200),
    # The last ones store something.
    ("post", CHAT, CHAT_BODY, 200),
    ("post", "/v1/conversations", {}, 200),
]


@pytest.fixture(scope="module", params=["keyless", "key"])
def http(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """Return a client of a project without data, in a new data folder."""
    with running_upstream() as upstream:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("empty"),
            port=0,
            log_level="warning",
            upstream_base_url=upstream.base_url,
            summaries=False,
        )
        with running(settings, "tests") as url, httpx2.Client(base_url=url) as client:
            if request.param == "key":
                client.headers["authorization"] = f"Bearer {_key(settings)}"
            yield client


def _key(settings: Settings) -> str:
    with closing(open_log(settings.data_dir)) as log, log.write() as transaction:
        project = transaction.projects.ensure("empty", clock.now())
        return transaction.api_keys.create(project, clock.now())


def test_every_route_has_a_case() -> None:
    assert {(method, path) for method, path, _, _ in CASES} == set(ROUTES)


@pytest.mark.parametrize(("method", "path", "body", "status"), CASES)
def test_route_of_empty_project(
    http: httpx2.Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = http.request(method, re.sub(r"\{\w+\}", "x", path), json=body)
    assert answer.status_code == status, answer.text
    if path in {"/v1/conversations", "/v1/users"} and method == "get":
        assert answer.json()["data"] == []
