"""Summaries over HTTP, with the stand-in upstream as the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import httpx2
import pytest

from memory_service.composition.data_folder import open_log
from memory_service.composition.upstreams import chat_model_of, upstream_table_of
from memory_service.core.settings import Settings
from memory_service.server import running
from tests.faults.test_durability import serving
from tests.support import upstream as upstreams
from tests.support.environment import connected
from tests.support.storing import eventually
from tests.support.summarising import remarks
from tests.support.upstream import Upstream, running_upstream

FACT = "Mara keeps her bicycle in the cellar; the code of its lock is 8314."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, httpx2.Client]]:
    """Return an upstream, and a client of the service in front of it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("world"), port=0, log_level="warning")
    with (
        running_upstream() as upstream,
        running(with_upstream(upstream, settings), "tests") as url,
        httpx2.Client(base_url=url, timeout=60) as http,
    ):
        yield upstream, http


@pytest.fixture
def own_service(settings: Settings) -> Iterator[tuple[Upstream, Settings]]:
    """Return an upstream for one test, and the settings of a service in front of it."""
    with running_upstream() as upstream:
        yield upstream, with_upstream(upstream, settings)


def with_upstream(upstream: Upstream, settings: Settings) -> Settings:
    changes = {"upstream_base_url": upstream.base_url, "summary_model": "stand-in"}
    return settings.model_copy(update=changes)


@pytest.fixture
def clean_world(world: tuple[Upstream, httpx2.Client]) -> tuple[Upstream, httpx2.Client]:
    """Return the upstream and the client, without data or waiting summaries of other tests."""
    upstream, http = world
    for name in "cde":
        http.delete(f"/v1/conversations/{name}")
    eventually(lambda: http.get("/readyz").json()["summaries"]["waiting"] == 0)
    upstream.requests.clear()
    return upstream, http


@pytest.fixture
def http(clean_world: tuple[Upstream, httpx2.Client]) -> httpx2.Client:
    """Return a client of the service."""
    return clean_world[1]


@pytest.fixture
def upstream(clean_world: tuple[Upstream, httpx2.Client]) -> Upstream:
    """Return the upstream."""
    return clean_world[0]


def build_prompt(http: httpx2.Client, conversation: str = "c", **fields: Any) -> dict[str, Any]:
    """Build a prompt with a recent window of four turns."""
    body = {"input": "And then, what was it?", "recent_turns": 4, "token_budget": 2_000, **fields}
    answer = http.post(f"/v1/conversations/{conversation}/context", json=body)
    return dict(answer.raise_for_status().json())


def create(http: httpx2.Client, count: int = 12, **fields: Any) -> None:
    body = {"id": "c", "items": remarks(count), **fields}
    http.post("/v1/conversations", json=body).raise_for_status()


def summaries_of(
    http: httpx2.Client, conversation: str = "c", **params: Any
) -> list[dict[str, Any]]:
    where = f"/v1/conversations/{conversation}/summaries"
    page = http.get(where, params={"limit": 100, **params}).raise_for_status().json()
    return list(page["data"])


def has_summaries(http: httpx2.Client, count: int) -> bool:
    return len(summaries_of(http)) >= count


def test_turns_before_recent_window_are_summarised(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.then(upstreams.says(FACT))
    create(http)
    build_prompt(http)
    eventually(lambda: summaries_of(http))
    http.post("/v1/conversations/c/items", json={"items": remarks(6, first=13)}).raise_for_status()
    prompt = build_prompt(http)
    assert FACT in str(prompt["messages"])
    assert prompt["tokens"]["summary"] > 0
    assert [summary["id"] for summary in prompt["summaries"]] == [summaries_of(http)[-1]["id"]]


def test_summary_fields(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.then(upstreams.says(FACT))
    create(http)
    build_prompt(http)
    eventually(lambda: summaries_of(http))
    (shown,) = summaries_of(http)
    assert shown["id"].startswith("sum_")
    fields = {name: shown[name] for name in ("object", "level", "first_seq", "text", "model")}
    assert fields == {
        "object": "conversation.summary",
        "level": 1,
        "first_seq": 1,
        "text": FACT,
        "model": "stand-in",
    }
    assert shown["began_at"] <= shown["ended_at"] <= shown["created_at"]


def test_list_summaries_in_pages(http: httpx2.Client) -> None:
    create(http)
    for number in range(1, 6):
        build_prompt(http)
        eventually(partial(has_summaries, http, number))
        items = remarks(8, first=1 + 12 * number)
        http.post("/v1/conversations/c/items", json={"items": items}).raise_for_status()
    all_ids = [summary["id"] for summary in summaries_of(http)]
    assert len(all_ids) >= 5
    pages: list[str] = []
    while page := summaries_of(http, limit=2, **({"after": pages[-1]} if pages else {})):
        pages += [summary["id"] for summary in page]
    assert pages == all_ids
    assert [summary["id"] for summary in summaries_of(http, order="asc")] == all_ids[::-1]


def test_search_returns_summaries_on_request(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.then(upstreams.says(FACT))
    create(http, user="mara")
    build_prompt(http)
    eventually(lambda: summaries_of(http))
    for scope in ({"conversation_id": "c"}, {"user_id": "mara"}):
        body = {"query": "the code of the bicycle's lock", **scope}
        plain = http.post("/v1/search", json=body).raise_for_status().json()
        with_summaries = (
            http.post("/v1/search", json={**body, "summaries": 3}).raise_for_status().json()
        )
        assert "summaries" not in plain
        assert plain["data"] == with_summaries["data"]
        assert all("item_id" in hit for hit in with_summaries["data"])
        assert [(summary["text"], summary["rank"]) for summary in with_summaries["summaries"]] == [
            (FACT, 1)
        ]


def test_search_ranks_summaries(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.then(*map(upstreams.says, ("They talked of trains.", FACT, "It rained all day.")))
    for name in "cde":
        create(http, id=name, user="mara")
        build_prompt(http, name)
        eventually(partial(summaries_of, http, name))
    body = {"query": "where is the bicycle", "user_id": "mara", "summaries": 2}
    hits = http.post("/v1/search", json=body).raise_for_status().json()["summaries"]
    assert [summary["rank"] for summary in hits] == [1, 2]
    assert (hits[0]["text"], hits[0]["conversation_id"]) == (FACT, "d")


def test_openai_client_switches_summaries(http: httpx2.Client, upstream: Upstream) -> None:
    items: list[Any] = remarks(12)
    with connected(str(http.base_url).rstrip("/"), "none") as client:
        created = client.conversations.create(
            items=items, extra_body={"id": "c", "summaries": False}
        )
        build_prompt(http)
        changed = client.conversations.update("c", metadata={}, extra_body={"summaries": True})
    assert (created.to_dict()["summaries"], changed.to_dict()["summaries"]) == (False, True)
    assert upstream.requests == []
    build_prompt(http, recent_turns=3)
    eventually(lambda: summaries_of(http))


@pytest.mark.parametrize("value", ["yes", 1, [], {}])
def test_summaries_field_must_be_boolean_or_null(http: httpx2.Client, value: Any) -> None:
    create(http)
    answer = http.post("/v1/conversations/c", json={"summaries": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "summaries")


def test_failing_model_is_reported_and_prompts_continue(
    own_service: tuple[Upstream, Settings],
) -> None:
    upstream, settings = own_service
    upstream.then(upstreams.fails(401, code="invalid_api_key"))
    with running(settings, "tests") as base, httpx2.Client(base_url=base) as http:
        create(http)
        build_prompt(http)
        eventually(lambda: http.get("/readyz").json()["summaries"]["set_aside"] == 1)
        ready = http.get("/readyz").json()
        assert build_prompt(http)["tokens"]["summary"] == 0
    assert (ready["status"], ready["summaries"]["waiting"]) == ("ok", 1)
    assert "401 (invalid_api_key). Check MEMORY_UPSTREAM_API_KEY." in ready["summaries"]["reason"]


def test_no_summaries_without_upstream(
    settings: Settings,
) -> None:
    with running(settings, "tests") as base, httpx2.Client(base_url=base) as http:
        create(http)
        build_prompt(http)
        assert "summaries" not in http.get("/readyz").json()
        assert summaries_of(http) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"upstream_base_url": "https://api.openai.com/v1"}, False),
        ({"upstream_base_url": "https://api.openai.com/v1", "upstream_api_key": "k"}, True),
        ({"upstream_base_url": "https://8.8.8.8/v1"}, False),
        ({"upstream_base_url": "https://8.8.8.8/v1", "summaries": True}, True),
        ({"upstream_base_url": "http://127.0.0.1:11434/v1"}, True),
        ({"upstream_base_url": "http://[::1]:11434/v1"}, True),
        ({"upstream_base_url": "http://192.168.1.7:8000/v1"}, True),
        ({"upstream_base_url": "http://localhost:1234/v1"}, True),
        ({"upstream_base_url": "http://ollama:11434/v1"}, True),
        ({"upstream_base_url": "http://host.docker.internal:11434/v1"}, True),
        ({"upstream_base_url": "https://internal.example.org/v1"}, False),
    ],
)
def test_summaries_without_key_need_nearby_upstream(
    settings: Settings, changes: dict[str, Any], *, expected: bool
) -> None:
    fields = settings.model_dump(exclude_unset=True) | changes
    chosen = Settings(**fields)
    model = chat_model_of(chosen, upstream_table_of(chosen, "tests"), "tests")
    assert (model is not None) == expected


def test_service_stops_while_model_is_slow(own_service: tuple[Upstream, Settings]) -> None:
    upstream, settings = own_service
    upstream.then(upstreams.but(upstreams.echo, first_byte_seconds=200))
    with running(settings, "tests") as base, httpx2.Client(base_url=base) as http:
        create(http)
        build_prompt(http)
        eventually(lambda: upstream.requests)
    with closing(open_log(settings.data_dir)) as log, log.read() as snapshot:
        conversation = snapshot.conversations.get(1, "c")
        assert conversation is not None
        assert snapshot.summaries.all(conversation.key) == []
        assert len(snapshot.summary_queue.all()) == 1


def test_killed_service_continues_summaries(
    own_service: tuple[Upstream, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, settings = own_service
    monkeypatch.setenv("MEMORY_UPSTREAM_BASE_URL", upstream.base_url)
    monkeypatch.setenv("MEMORY_SUMMARY_MODEL", "stand-in")
    upstream.then(upstreams.echo, upstreams.but(upstreams.echo, first_byte_seconds=200))
    items = [{**item, "content": item["content"] + " word" * 700} for item in remarks(16)]
    with serving(settings.data_dir) as server:
        with httpx2.Client(base_url=server.address) as http:
            http.post("/v1/conversations", json={"id": "c", "items": items}).raise_for_status()
            build_prompt(http, token_budget=9_000)
            eventually(lambda: len(upstream.requests) == 2)
            before = summaries_of(http)
        server.kill()
    with serving(settings.data_dir) as server, httpx2.Client(base_url=server.address) as http:
        eventually(lambda: http.get("/readyz").json()["summaries"]["waiting"] == 0, 60)
        after = [summary for summary in summaries_of(http, order="asc") if summary["level"] == 1]
    assert [summary["id"] for summary in before] == [summary["id"] for summary in after[:1]]
    ends = [0, *(summary["last_seq"] for summary in after)]
    assert [summary["first_seq"] for summary in after] == [end + 1 for end in ends[:-1]]
    contents = [request.content for request in upstream.requests]
    assert len(contents) == len(set(contents)) + 1
