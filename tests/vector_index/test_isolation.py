"""Two projects with equal client ids in one server share no turns and no collections."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx2
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import Service
from tests.support.factories import message
from tests.support.storing import create, eventually

TEXTS = {
    "mine": ["my locker is 8314", "I take the early train", "soup again"],
    "theirs": ["their locker is 2071", "they take the late train", "bread again"],
}


def keys(settings: Settings) -> dict[str, str]:
    """Return an API key for each project."""
    log = open_log(settings.data_dir)
    try:
        with log.write() as transaction:
            return {
                name: transaction.api_keys.create(transaction.projects.ensure(name, 0), 0)
                for name in TEXTS
            }
    finally:
        log.close()


@pytest.fixture(params=[0, 150_000], ids=["chroma", "exact"])
def shared_server(request: pytest.FixtureRequest, settings: Settings) -> Iterator[dict[str, str]]:
    """Run a server in which both projects use the same ids; return addresses and keys."""
    chosen = settings.model_copy(update={"exact_scan_max": request.param})
    opened = keys(chosen)
    with running(chosen, "tests") as address:
        for name, key in opened.items():
            with http(address, key) as client:
                items = [message(text, id=f"i{n}") for n, text in enumerate(TEXTS[name])]
                body = {"id": "c", "user": "ana", "items": items}
                client.post("/v1/conversations", json=body).raise_for_status()
        eventually(lambda: httpx2.get(f"{address}/readyz").json()["lag"] == 0)
        yield {"address": address, **opened}


@contextmanager
def http(address: str, key: str) -> Iterator[httpx2.Client]:
    """Return a client with a key."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=address, headers=headers) as client:
        yield client


@pytest.mark.parametrize("scope", [{"conversation_id": "c"}, {"user_id": "ana"}])
def test_search_returns_turns_of_own_project_only(
    shared_server: dict[str, str], scope: dict[str, str]
) -> None:
    for name, other_name in (("mine", "theirs"), ("theirs", "mine")):
        with http(shared_server["address"], shared_server[name]) as client:
            for query in TEXTS[other_name]:
                body = {"query": query, "top_k": 50, **scope}
                response = client.post("/v1/search", json=body).json()
                assert "degraded" not in response
                assert {hit["text"] for hit in response["data"]} == set(TEXTS[name])


def test_no_collection_has_vectors_of_two_projects(service: Service) -> None:
    for number in range(5):
        for name, texts in TEXTS.items():
            create(service, f"c{number}", *texts, user="ana", project=name)
    eventually(lambda: service.index_status().lag == 0)
    statement = (
        "SELECT passages.key, conversations.project_key FROM passages"
        " JOIN conversations ON conversations.key = passages.conversation_key"
    )
    path = service.settings.data_dir / "turn_log.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        owners = dict(database.execute(statement).fetchall())
    collection_keys = [service.index.keys(collection) for collection in service.index.collections()]
    assert sorted(
        len({owners[key] for key in passage_keys}) for passage_keys in collection_keys
    ) == [1, 1]
    assert sorted(len(passage_keys) for passage_keys in collection_keys) == [15, 15]
