"""No key opens another project: generated from what OpenAPI says of every route."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from memory_service.api.app import create_app
from memory_service.composition.data_folder import open_log
from memory_service.conversations.export import export_lines
from memory_service.core import clock
from memory_service.core.models import NewSummary
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.turn_log.log import TurnLog
from tests.support.factories import message
from tests.support.upstream import Upstream, running_upstream

SCHEMA = create_app(Settings(data_dir=Path("never-opened"))).openapi()
OPEN = {"/healthz", "/readyz"}
ROUTES = [
    (method, path)
    for path, operations in SCHEMA["paths"].items()
    for method in operations
    if path not in OPEN
]

# What a parameter or a body's field is: an id that exists (where it comes from depends on the
# route for `after`), the name of something new, or nothing that could name another's data.
IDS = {
    "conversation_id": "conversation",
    "item_id": "item",
    "parent": "item",
    "head": "item",
    "user_id": "user",
    "user": "user",
    "receipt_id": "receipt",
    "trace_id": "trace",
}
AFTER = {
    "/v1/conversations": "conversation",
    "/v1/conversations/{conversation_id}/items": "item",
    "/v1/conversations/{conversation_id}/summaries": "summary",
    "/v1/users": "user",
}
CHAT = "/v1/chat/completions"
CHAT_IDS: dict[str, dict[str, dict[str, Any]]] = {
    "x-conversation-id": {"headers": {"x-conversation-id": "{conversation}"}},
    "x-user-id": {"headers": {"x-user-id": "{user}"}},
    "metadata": {"json": {"metadata": {"conversation_id": "{conversation}"}}},
    "conversation": {"json": {"conversation": "{conversation}"}},
    "user": {"json": {"user": "{user}"}},
    "safety_identifier": {"json": {"safety_identifier": "{user}"}},
}
"""Where a chat completion names ids: an unknown one is made, so another project's is a new one."""
NEW = {
    ("post", "/v1/conversations", "id"),
    ("post", "/v1/conversations", "user"),
    *(("post", CHAT, name) for name in CHAT_IDS),
}
MEMORY = {"x-memory", "x-memory-scope", "x-memory-top-k", "x-memory-token-budget"}
HEADERS = {"idempotency-key", "x-stainless-retry-count", "x-upstream-authorization"} | MEMORY
PAGING = {"limit", "order", "include"}
WRITTEN = {"items", "metadata", "title", "created_at", "stored_as", "gap_before", "summaries"}
ASKED = {"query", "top_k", "roles", "created_after", "created_before", "now"}
PROMPT = {
    "messages",
    "stream",
    "input",
    "instructions",
    "model",
    "tools",
    "recent_turns",
    "scope",
    "store",
}
TOKENS = {"token_budget", "max_output_tokens"}
HARMLESS = HEADERS | PAGING | WRITTEN | ASKED | PROMPT | TOKENS
BODIES: dict[str, dict[str, Any]] = {
    "/v1/conversations": {"items": [message("made by the test")]},
    "/v1/conversations/{conversation_id}": {"title": "set by the test"},
    "/v1/conversations/{conversation_id}/items": {"items": [message("said by the test")]},
    "/v1/search": {"query": "walrus umbrella", "summaries": 5},
    CHAT: {"model": "m", "messages": [message("Where is the walrus with the umbrella?")]},
    "/v1/conversations/{conversation_id}/context": {"input": "walrus umbrella?", "store": True},
}
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Tenant:
    """A project with one of everything, whose words and ids occur nowhere else."""

    name: str
    key: str
    http: httpx2.Client
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> list[str]:
        """What no other project may ever read."""
        return [*self.ids.values(), f"walrus of {self.name}", f"title of {self.name}", self.key]

    def call(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with the project's key."""
        headers = {"authorization": f"Bearer {self.key}"}
        return self.http.request(method, path, headers=headers, **request)

    def fill(self) -> None:
        """Store one of everything."""
        conversation, item, user = (f"{kind}-of-{self.name}" for kind in ("conv", "item", "user"))
        words = [message(f"walrus of {self.name}", id=item), message("umbrella", "assistant")]
        body = {"id": conversation, "user": user, "title": f"title of {self.name}", "items": words}
        self.call("POST", "/v1/conversations", json=body).raise_for_status()
        gone = f"/v1/conversations/{conversation}-gone"
        self.call("POST", "/v1/conversations", json={"id": f"{conversation}-gone"})
        receipt = self.call("DELETE", gone).raise_for_status().json()["receipt"]
        asked = {"query": "walrus", "conversation_id": conversation}
        trace = self.call("POST", "/v1/search", json=asked).raise_for_status().json()["trace_id"]
        self.ids.update(
            conversation=conversation, item=item, user=user, receipt=receipt, trace=trace
        )


@dataclass(frozen=True)
class World:
    """A running server, its log, and the model's server behind it."""

    http: httpx2.Client
    log: TurnLog
    upstream: Upstream

    def tenant(self, name: str = "", *, filled: bool = True) -> Tenant:
        """Return a new project."""
        name = name or f"project{next(NUMBERS)}x"
        with self.log.write() as transaction:
            project = transaction.projects.ensure(name, clock.now())
            made = Tenant(name, transaction.api_keys.create(project, clock.now()), self.http)
        if filled:
            made.fill()
            made.ids["summary"] = self.summarise(project, made)
        return made

    def summarise(self, project: int, tenant: Tenant) -> str:
        """Store a summary of what the tenant said; return its id."""
        with self.log.write() as transaction:
            conversation = transaction.conversations.get(project, tenant.ids["conversation"])
            assert conversation is not None
            turns = list(transaction.turns.all(conversation.key))
            new = NewSummary(1, 1, 2, turns[-1].key, 0, 0, tuple(turn.key for turn in turns))
            text = f"a walrus of {tenant.name}"
            transaction.summaries.add(
                conversation.key, new, text=text, model="m", vector=None, now=0
            )
            return str(transaction.summaries.all(conversation.key)[0].id)

    def export(self, tenant: Tenant) -> list[str]:
        """Return everything that a project has stored."""
        return list(export_lines(self.log, tenant.name))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("projects")
    with running_upstream() as upstream:
        settings = Settings(
            data_dir=folder,
            port=0,
            log_level="warning",
            upstream_base_url=upstream.base_url,
            summaries=False,
        )
        with (
            running(settings, "tests") as url,
            httpx2.Client(base_url=url) as http,
            closing(open_log(settings.data_dir)) as log,
        ):
            yield World(http, log, upstream)


@pytest.fixture(scope="module")
def ann(world: World) -> Tenant:
    """Return the project that others try to reach."""
    return world.tenant()


@pytest.fixture
def bob(world: World) -> Tenant:
    """Return another project, made for one test."""
    return world.tenant()


def fields_of(method: str, path: str) -> list[tuple[str, str]]:
    """Return (place, name) of all parameters and fields of a route."""
    operation = SCHEMA["paths"][path][method]
    parameters = [(one["in"], one["name"]) for one in operation.get("parameters", [])]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return parameters + [("body", name) for name in body.get("schema", {}).get("properties", {})]


def kind_of(method: str, path: str, name: str) -> str | None:
    """Return what a parameter names; a name that no table here knows is an error."""
    if name in HARMLESS or (method, path, name) in NEW:
        return None
    return AFTER[path] if name == "after" else IDS[name]


def ids_of(method: str, path: str) -> list[tuple[str, str, str]]:
    """Return (place, name, kind) of all ids that a route takes."""
    return [
        (place, name, kind)
        for place, name in fields_of(method, path)
        if (kind := kind_of(method, path, name)) is not None
    ]


def send(
    caller: Tenant, method: str, path: str, given: Mapping[tuple[str, str], str]
) -> httpx2.Response:
    """Call a route with ids by (place, name)."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "body": {}}
    for (place, name), value in given.items():
        places[place][name] = value
    request: dict[str, Any] = {"params": places["query"]}
    if method == "post":
        request["json"] = {**BODIES[path], **places["body"]}
    return caller.call(method.upper(), path.format(**places["path"]), **request)


def chosen(method: str, path: str, optional: str | None) -> list[tuple[str, str, str]]:
    """Return the ids of the path, and of the others the one that is asked for."""
    return [one for one in ids_of(method, path) if one[0] == "path" or one[1] == optional]


CASES = [(method, path, name) for method, path in ROUTES for _, name, _ in ids_of(method, path)]


def test_every_parameter_of_every_route_is_in_a_table_of_this_test() -> None:
    for method, path in ROUTES:
        for _, name in fields_of(method, path):
            assert name == "after" or name in IDS or name in HARMLESS or (method, path, name) in NEW
    assert len(CASES) >= 20


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_an_id_of_another_project_is_not_found_and_nothing_changes(
    world: World, ann: Tenant, bob: Tenant, method: str, path: str, name: str
) -> None:
    given = {
        (place, one): (ann if one == name else bob).ids[kind]
        for place, one, kind in chosen(method, path, name)
    }
    before = world.export(ann), world.export(bob)
    answer = send(bob, method, path, given)
    assert answer.status_code == 404, answer.text
    assert (world.export(ann), world.export(bob)) == before


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_what_is_anothers_looks_like_what_does_not_exist(
    ann: Tenant, bob: Tenant, method: str, path: str, name: str
) -> None:
    ids = chosen(method, path, name)
    strangers = {(place, one): ann.ids[kind] for place, one, kind in ids}
    nothing = {(place, one): f"no-{kind}" for place, one, kind in ids}
    anothers = send(bob, method, path, strangers)
    missing = send(bob, method, path, nothing)
    said = anothers.text
    for place, one, kind in ids:
        said = said.replace(strangers[place, one], f"no-{kind}")
    assert (anothers.status_code, said) == (404, missing.text)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_ones_own_are_served_with_nothing_of_another_project(
    world: World, ann: Tenant, bob: Tenant, method: str, path: str
) -> None:
    names = {name for place, name, _ in ids_of(method, path) if place != "path"}
    if path == "/v1/search":
        names.remove("user_id")
    before = world.export(ann)
    for optional in sorted(names) if path == "/v1/search" else [None, *sorted(names)]:
        given = {
            (place, name): bob.ids[kind] for place, name, kind in chosen(method, path, optional)
        }
        answer = send(bob, method, path, given)
        assert answer.status_code == 200, answer.text
        assert [secret for secret in ann.secrets if secret in answer.text] == []
    assert world.export(ann) == before


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize("name", list(CHAT_IDS))
def test_a_chat_completion_with_anothers_ids_sees_and_changes_nothing_of_theirs(
    world: World, ann: Tenant, bob: Tenant, name: str, mode: str
) -> None:
    conversation, user = ann.ids["conversation"], ann.ids["user"]
    text = json.dumps(CHAT_IDS[name])
    given = json.loads(text.replace("{conversation}", conversation).replace("{user}", user))
    headers = {**given.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {bob.key}"}
    before = world.export(ann)
    body = {**BODIES[CHAT], **given.get("json", {})}
    answer = world.http.post(CHAT, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert world.export(ann) == before
    seen = answer.text + world.upstream.last.content.decode()
    assert [secret for secret in (f"walrus of {ann.name}", ann.key) if secret in seen] == []


def test_an_item_of_another_project_is_no_item_of_a_chat_completion(
    world: World, ann: Tenant, bob: Tenant
) -> None:
    before = world.export(ann)
    said = [{**message("mine"), "id": ann.ids["item"]}]
    body = {"model": "m", "messages": said, "conversation": "own"}
    assert bob.call("POST", CHAT, json=body).status_code == 200
    assert (len(world.export(bob)), world.export(ann)) == (2, before)


@pytest.mark.parametrize("authorization", [None, "Bearer msk_wrong", "Bearer {name}"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_valid_key_every_route_is_closed(
    world: World, ann: Tenant, method: str, path: str, authorization: str | None
) -> None:
    given = {name: ann.ids[kind] for place, name, kind in ids_of(method, path) if place == "path"}
    headers = (
        {} if authorization is None else {"authorization": authorization.format(name=ann.name)}
    )
    before = world.export(ann)
    answer = world.http.request(
        method, path.format(**given), headers=headers, json=BODIES.get(path)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert world.export(ann) == before


def test_the_open_routes_and_the_documentation_tell_nothing(world: World, ann: Tenant) -> None:
    for path in (*OPEN, "/docs", "/openapi.json"):
        answer = world.http.get(path)
        assert answer.status_code == 200
        assert [secret for secret in ann.secrets if secret in answer.text] == []


@pytest.fixture
def twins(world: World) -> tuple[Tenant, Tenant]:
    """Return two projects that chose the same ids for everything."""
    pair = world.tenant(filled=False), world.tenant(filled=False)
    for tenant in pair:
        items = [message(f"the walrus of {tenant.name}", id="i")]
        body = {"id": "c", "user": "u", "title": tenant.name, "items": items}
        tenant.call("POST", "/v1/conversations", json=body).raise_for_status()
    return pair


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/conversations", None),
        ("GET", "/v1/conversations/c", None),
        ("GET", "/v1/conversations?user=u", None),
        ("GET", "/v1/conversations/c/items", None),
        ("GET", "/v1/conversations/c/items/i", None),
        ("POST", "/v1/search", {"query": "walrus", "conversation_id": "c"}),
        ("POST", "/v1/search", {"query": "walrus", "user_id": "u"}),
        ("POST", "/v1/conversations/c/context", {"input": "walrus", "recent_turns": 0}),
    ],
)
def test_equal_ids_of_two_projects_never_meet(
    twins: tuple[Tenant, Tenant], method: str, path: str, body: dict[str, Any] | None
) -> None:
    for tenant, other in (twins, reversed(twins)):
        answer = tenant.call(method, path, json=body).raise_for_status()
        assert tenant.name in answer.text
        assert other.name not in answer.text


@pytest.mark.parametrize(
    "path", ["/v1/conversations/c/items/i", "/v1/conversations/c", "/v1/users/u"]
)
def test_deleting_an_id_that_two_projects_use_deletes_one(
    world: World, twins: tuple[Tenant, Tenant], path: str
) -> None:
    mine, other = twins
    before = world.export(other)
    mine.call("DELETE", path).raise_for_status()
    assert f"the walrus of {mine.name}" not in "".join(world.export(mine))
    assert world.export(other) == before
    found = other.call("POST", "/v1/search", json={"query": "walrus", "user_id": "u"}).json()
    assert [hit["item_id"] for hit in found["data"]] == ["i"]


def test_an_idempotency_key_belongs_to_its_project(twins: tuple[Tenant, Tenant]) -> None:
    headers = {"idempotency-key": "the same"}
    answers = [
        tenant.http.post(
            "/v1/conversations/c/items",
            json={"items": [message("hello")]},
            headers={**headers, "authorization": f"Bearer {tenant.key}"},
        ).raise_for_status()
        for tenant in twins
    ]
    assert answers[0].json()["data"][0]["id"] != answers[1].json()["data"][0]["id"]
    assert [answer.headers["x-memory-items-new"] for answer in answers] == ["1", "1"]
