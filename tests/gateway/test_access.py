"""API keys, and failures of recall and of the upstream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memory_service.conversations.export import export_lines
from memory_service.core import clock
from memory_service.core.models import Vector
from memory_service.testing import HashingEmbedder
from tests.support.chatting import RunningGateway, gateway, user
from tests.support.upstream import but, echo

CHAT = "/v1/chat/completions"


def create_key(running: RunningGateway, project: str = "acme") -> str:
    with running.log.write() as transaction:
        project_key = transaction.projects.ensure(project, clock.now())
        return transaction.api_keys.create(project_key, clock.now())


def forwarded_authorization(running: RunningGateway, headers: dict[str, str]) -> str | None:
    """Return the authorization that the upstream receives, for models and completions alike."""
    for method, path in (("GET", "/v1/models"), ("POST", CHAT)):
        body = {"model": "m", "messages": user("hello")} if method == "POST" else None
        running.http.request(method, path, json=body, headers=headers).raise_for_status()
    authorizations = {request.headers.get("authorization") for request in running.upstream.requests}
    assert len(authorizations) == 1
    return authorizations.pop()


@pytest.mark.parametrize(
    ("settings", "headers", "expected"),
    [
        ({}, {"authorization": "Bearer theirs"}, "Bearer theirs"),
        ({}, {}, None),
        ({"upstream_api_key": "ours"}, {"authorization": "Bearer theirs"}, "Bearer ours"),
        (
            {"upstream_api_key": "ours", "upstream_authorization_header": True},
            {"authorization": "Bearer x", "x-upstream-authorization": "Bearer theirs"},
            "Bearer theirs",
        ),
        (
            {"upstream_api_key": "ours", "upstream_authorization_header": True},
            {"authorization": "Bearer x"},
            None,
        ),
    ],
)
def test_upstream_authorization_in_keyless_mode(
    tmp_path: Path,
    settings: dict[str, Any],
    headers: dict[str, str],
    expected: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with gateway(tmp_path, light=True, **settings) as running:
        assert forwarded_authorization(running, {**headers, "x-conversation-id": "c"}) == expected
        stored_text = "".join(export_lines(running.log, "local")) + "".join(capfd.readouterr())
    assert "hello" in stored_text
    # The log also has traces and idempotency records.
    stored_text += "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert "You said: hello" in stored_text
    assert [key for key in ("theirs", "ours") if key in stored_text] == []


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, None), ({"upstream_api_key": "ours"}, "Bearer ours")]
)
def test_service_keys_are_not_forwarded(
    tmp_path: Path, settings: dict[str, Any], expected: str | None
) -> None:
    with gateway(tmp_path, light=True, **settings) as running:
        headers = {"authorization": f"Bearer {create_key(running)}"}
        assert forwarded_authorization(running, headers) == expected


@pytest.mark.parametrize("authorization", [None, "Bearer msk_wrong"])
@pytest.mark.parametrize("memory", ["on", "off"])
def test_unauthenticated_requests_are_not_forwarded(
    tmp_path: Path, authorization: str | None, memory: str
) -> None:
    with gateway(tmp_path, light=True, recall_timeout_seconds=1e-9) as running:
        create_key(running)
        headers = {"x-memory": memory, "x-user-id": "u"}
        if authorization is not None:
            headers["authorization"] = authorization
        assert running.send("hello", headers=headers).status_code == 401
        assert running.http.get("/v1/models", headers=headers).status_code == 401
        assert running.upstream.requests == []


def test_recall_timeout_forwards_sent_messages(tmp_path: Path) -> None:
    with gateway(tmp_path, light=True, recall_timeout_seconds=1e-9) as running:
        messages = [{"role": "system", "content": "Be kind."}, *user("hello")]
        answer = running.send(messages, headers={"x-conversation-id": "c"}).raise_for_status()
        assert answer.headers["x-memory-error"] == "timeout"
        assert answer.headers["x-conversation-id"] == "c"
        assert running.upstream.last.messages == messages
        assert running.texts("c") == ["hello", "You said: hello"]


def test_recall_timeout_is_refused_if_recall_is_strict(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"recall_timeout_seconds": 1e-9, "strict_recall": True}
    with gateway(tmp_path, light=True, **settings) as running:
        answer = running.send("hello", headers={"x-conversation-id": "c"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "recall_failed")
        assert running.upstream.requests == []


class BrokenEmbedder(HashingEmbedder):
    """An embedder with a bug in the embedding of queries."""

    def embed_query(
        self, _text: str, _weights: Sequence[tuple[int, int, float]] = ()
    ) -> Vector | None:
        """Fail."""
        raise ZeroDivisionError

    def embed_documents(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return vectors."""
        embedder = HashingEmbedder()
        return [embedder.embed_query(text) for text in texts]


def test_unexpected_error_in_recall_forwards_sent_messages(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"light": True, "recall_timeout_seconds": 60.0}
    with gateway(tmp_path, embedder=BrokenEmbedder(), **settings) as running:
        headers = {"x-conversation-id": "c", "x-memory-token-budget": "100"}
        for number in range(4):
            messages = user(f"Which walrus was red, number {number} of them?")
            answer = running.send(messages, headers=headers).raise_for_status()
        assert answer.headers["x-memory-error"] == "internal_error"
        assert running.upstream.last.messages == messages
        assert len(running.texts("c")) == 8


def test_unreachable_upstream_returns_502_that_names_its_setting(tmp_path: Path) -> None:
    with gateway(tmp_path, light=True, upstream_base_url="http://127.0.0.1:9/v1") as running:
        answer = running.send("hello", headers={"x-conversation-id": "c"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
        assert "MEMORY_UPSTREAM_BASE_URL" in answer.json()["error"]["message"]
        assert running.texts("c") == ["hello"]


def test_silent_upstream_returns_504(tmp_path: Path) -> None:
    with gateway(tmp_path, light=True, upstream_timeout_seconds=0.2) as running:
        running.upstream.then(but(echo, first_byte_seconds=60))
        answer = running.send("hello", headers={"x-conversation-id": "c"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        assert running.texts("c") == ["hello"]
