"""Spellings of paths and methods that clients use for one route."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_service.api.request_paths import plain_path
from tests.support.chatting import RunningGateway, gateway, user


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/v1/models", b"/v1/models"),
        (b"//v1///models//", b"/v1/models"),
        (b"/v1/users/a%2F%2Fb/", b"/v1/users/a%2F%2Fb"),
    ],
)
def test_repeated_slashes_count_as_one(path: bytes, plain: bytes) -> None:
    assert plain_path(path) == plain


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("paths"), light=True) as running:
        yield running


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1//chat/completions/"])
def test_post_to_other_spelling_is_answered_without_redirect(
    chat: RunningGateway, path: str
) -> None:
    body = {"model": "m", "messages": user("hello")}
    answer = chat.http.post(f"{chat.address}{path}", json=body, follow_redirects=False)
    assert answer.status_code == 200


def test_escaped_slashes_of_ids_are_kept(chat: RunningGateway) -> None:
    chat.send("hello", headers={"x-user-id": "a//b/"}).raise_for_status()
    assert chat.http.delete("/v1/users/a%2Fb").status_code == 404
    assert chat.http.delete("/v1/users/a%2F%2Fb%2F").json()["id"] == "a//b/"


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/conversations", "/docs", "/v1/no"])
def test_head_returns_headers_of_get(chat: RunningGateway, path: str) -> None:
    head, get = (chat.http.request(method, path) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(len(get.content))
