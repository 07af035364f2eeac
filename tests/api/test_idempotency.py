"""Repeated requests store once: keys, item ids, and retries of the OpenAI client."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import httpx2
import openai
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.core import clock
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.turn_log.log import TurnLog
from tests.support.factories import message

RETRY = {"x-stainless-retry-count": "1"}
ITEMS = "/v1/conversations/c/items"
NUMBERS = count(1)
KEY = {"idempotency-key": "key-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TurnLog]]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("retries"), port=0, log_level="warning")
    with running(settings, "tests") as url, closing(open_log(settings.data_dir)) as log:
        yield url, log


@pytest.fixture
def key(server: tuple[str, TurnLog]) -> str:
    """Return the API key of a project that only this test uses."""
    with server[1].write() as transaction:
        project = transaction.projects.ensure(f"project {next(NUMBERS)}", clock.now())
        return transaction.api_keys.create(project, clock.now())


@pytest.fixture
def http(server: tuple[str, TurnLog], key: str) -> Iterator[httpx2.Client]:
    """Return a client of a project with conversation `c` of one item."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=server[0], headers=headers) as client:
        body = {"id": "c", "items": [message("zero", id="i0")]}
        client.post("/v1/conversations", json=body).raise_for_status()
        yield client


def append(http: httpx2.Client, *texts: str, headers: Any = None, **fields: Any) -> httpx2.Response:
    """Append one message per text; `fields` are further fields of the body."""
    items = [message(text) for text in texts]
    return http.post(ITEMS, json={"items": items, **fields}, headers=headers)


def send(http: httpx2.Client, *items: Any, headers: Any = None) -> httpx2.Response:
    return http.post(ITEMS, json={"items": items}, headers=headers)


def texts(http: httpx2.Client) -> list[str]:
    data = http.get(ITEMS, params={"order": "asc"}).raise_for_status().json()["data"]
    return [item["content"][0]["text"] for item in data]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"items": [message("one")], "user": "ann"}),
        ("", {"id": "mine"}),
        ("/c", {"title": "new", "metadata": {"a": "b"}}),
        ("/c/items", {"items": [message("one"), message("two")]}),
    ],
)
def test_same_key_and_body_return_same_response(
    http: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    url = f"/v1/conversations{path}"
    first = http.post(url, json=body, headers=KEY).raise_for_status()
    before = http.get("/v1/conversations").text, http.get(ITEMS).text
    again = http.post(url, json=body, headers=KEY)
    assert again.content == first.content
    assert (http.get("/v1/conversations").text, http.get(ITEMS).text) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/c/items", {"items": [message("other")]}),
        ("/c/items", {"items": [message("one")], "more": 1}),
        ("/d/items", {"items": [message("one")]}),
        ("", {"items": [message("one")]}),
    ],
)
def test_same_key_for_another_request_returns_409(
    http: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    http.post("/v1/conversations", json={"id": "d"}).raise_for_status()
    append(http, "one", headers=KEY).raise_for_status()
    answer = http.post(f"/v1/conversations{path}", json=body, headers=KEY)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert answer.headers["x-should-retry"] == "false"
    assert texts(http) == ["zero", "one"]


def test_another_key_stores_again(http: httpx2.Client) -> None:
    for key in ("a", "b", "a"):
        append(http, "one", headers={"idempotency-key": key}).raise_for_status()
    assert texts(http) == ["zero", "one", "one"]


def test_refused_request_does_not_use_key(http: httpx2.Client) -> None:
    assert send(http, message("one", role="nobody"), headers=KEY).status_code == 400
    append(http, "one", headers=KEY).raise_for_status()
    assert texts(http) == ["zero", "one"]


@pytest.mark.parametrize("wrong", ["", "k" * 257])
def test_invalid_key_is_refused(http: httpx2.Client, wrong: str) -> None:
    answer = append(http, "one", headers={"idempotency-key": wrong})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert texts(http) == ["zero"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_retry_of_newest_turns_returns_them(http: httpx2.Client, count: int) -> None:
    new_texts = [f"turn {number}" for number in range(count)]
    first = append(http, *new_texts, headers={"x-stainless-retry-count": "0"}).json()
    again = append(http, *new_texts, headers=RETRY)
    assert again.json() == first
    assert again.headers["x-memory-items-new"] == "0"
    assert texts(http) == ["zero", *new_texts]


@pytest.mark.parametrize("retry_count", ["0", "", "-1", "x", "\u00b2".encode("latin-1"), None])
def test_equal_items_without_retry_are_stored_twice(http: httpx2.Client, retry_count: Any) -> None:
    headers = None if retry_count is None else {"x-stainless-retry-count": retry_count}
    for _ in range(2):
        append(http, "ok", headers=headers).raise_for_status()
    assert texts(http) == ["zero", "ok", "ok"]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(message("other"), id="other words"),
        pytest.param(message("one", "assistant"), id="other role"),
        pytest.param(message("one", name="Bo"), id="other speaker"),
        pytest.param(message("one", id="i2"), id="other id"),
        pytest.param(message("one", created_at=1_700_000_000), id="other time"),
    ],
)
def test_retry_with_other_content_is_stored(http: httpx2.Client, item: dict[str, Any]) -> None:
    send(http, message("one", id="i1", created_at=1_600_000_000)).raise_for_status()
    answer = send(http, item, headers=RETRY)
    assert answer.headers["x-memory-items-new"] == "1"
    assert len(texts(http)) == 3


def test_retry_below_another_parent_is_stored(http: httpx2.Client) -> None:
    send(http, message("one", id="i1"), message("two", id="i2")).raise_for_status()
    append(http, "two", headers=RETRY, parent="i0").raise_for_status()
    assert texts(http) == ["zero", "two"]
    assert http.get(f"{ITEMS}/i2").status_code == 200


@pytest.mark.parametrize("parent", ["i0", None])
def test_retry_below_same_parent_is_stored_once(http: httpx2.Client, parent: str | None) -> None:
    first = append(http, "two", parent=parent).json()
    assert append(http, "two", parent=parent, headers=RETRY).json() == first


def test_retried_creation_returns_conversation(http: httpx2.Client) -> None:
    body = {"id": "new", "user": "ann", "items": [message("one")]}
    first = http.post("/v1/conversations", json=body).raise_for_status()
    assert http.post("/v1/conversations", json=body, headers=RETRY).json() == first.json()
    assert len(http.get("/v1/conversations/new/items").json()["data"]) == 1


def test_item_with_stored_id_and_content_is_not_stored_again(http: httpx2.Client) -> None:
    first = send(http, message("one", id="i1")).json()
    again = send(http, message([{"type": "text", "text": "one"}], id="i1"))
    assert again.json() == first
    assert again.headers["x-memory-items-new"] == "0"
    assert texts(http) == ["zero", "one"]


def test_partly_stored_batch_is_completed(http: httpx2.Client) -> None:
    send(http, message("one", id="i1"))
    answer = send(http, *(message(text, id=key) for text, key in (("one", "i1"), ("two", "i2"))))
    assert [item["id"] for item in answer.json()["data"]] == ["i1", "i2"]
    assert texts(http) == ["zero", "one", "two"]


def test_stored_id_with_other_content_returns_409(
    http: httpx2.Client,
) -> None:
    answer = send(http, message("new", id="i9"), message("other", id="i0"))
    error = answer.json()["error"]
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"
    assert (error["param"], error["code"]) == ("items.1.id", "id_exists")
    assert texts(http) == ["zero"]


def test_item_id_of_another_conversation_returns_409(http: httpx2.Client) -> None:
    body = {"id": "d", "items": [message("zero", id="i0")]}
    answer = http.post("/v1/conversations", json=body)
    assert answer.status_code == 409
    assert http.get("/v1/conversations/d").status_code == 404
    assert texts(http) == ["zero"]


class _LossyHandler(socketserver.BaseRequestHandler):
    """Forwards bytes, and closes the connection instead of forwarding a response to lose."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _LossyProxy)
        with socket.create_connection(server.target) as upstream:
            while True:
                for ready in select.select([self.request, upstream], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data or (ready is upstream and server.loses()):
                        return
                    (self.request if ready is upstream else upstream).sendall(data)


class _LossyProxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, address: str, answers_to_lose: int) -> None:
        super().__init__(("127.0.0.1", 0), _LossyHandler)
        host, _, port = address.removeprefix("http://").partition(":")
        self.target = (host, int(port))
        self.left = self.lost = answers_to_lose

    def loses(self) -> bool:
        """Return whether the current response is to be lost."""
        self.left -= 1
        return self.left >= 0


@contextmanager
def lossy_proxy(address: str, answers_to_lose: int) -> Iterator[str]:
    """Yield the address of a proxy of the server that loses the first responses."""
    with _LossyProxy(address, answers_to_lose) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()
        thread.join()


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_lost_responses_and_client_retries_store_once(
    server: tuple[str, TurnLog], http: httpx2.Client, key: str, lost: int
) -> None:
    items: Any = [message("one"), message("two")]
    with (
        lossy_proxy(server[0], lost) as proxy,
        openai.OpenAI(base_url=f"{proxy}/v1", api_key=key, max_retries=2) as client,
    ):
        answer = client.conversations.items.with_raw_response.create("c", items=items)
    assert answer.retries_taken == lost
    assert texts(http) == ["zero", "one", "two"]
    assert [item.id for item in answer.parse().data] == [
        item["id"] for item in http.get(ITEMS, params={"order": "asc"}).json()["data"][1:]
    ]
