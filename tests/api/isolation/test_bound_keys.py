"""A key that is bound to a user reaches nothing of the other users of its project."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory_service.core import clock
from tests.api.isolation.routes import BODIES, CHAT, CHAT_IDS, ROUTES, ids_of
from tests.api.isolation.tenants import NUMBERS, Tenant, World
from tests.api.isolation.test_other_ids import CASES, required_ids, send

NOBODYS = "nobodys"
"""A conversation without a user."""


def bound_key(world: World, project: str, user: str) -> str:
    with world.log.write() as transaction:
        project_key = transaction.projects.ensure(project, clock.now())
        return transaction.api_keys.create(project_key, clock.now(), user=user)


@pytest.fixture(scope="module")
def eve(world: World) -> Tenant:
    """Return the whole project: the data of one user, and a conversation without a user."""
    tenant = world.tenant()
    gone = {"id": "gone", "user": tenant.ids["user"]}
    tenant.call("POST", "/v1/conversations", json=gone).raise_for_status()
    deleted = tenant.call("DELETE", "/v1/conversations/gone").raise_for_status()
    tenant.ids["receipt"] = deleted.json()["receipt"]
    tenant.call("POST", "/v1/conversations", json={"id": NOBODYS}).raise_for_status()
    return tenant


@pytest.fixture
def tom(world: World, eve: Tenant) -> Tenant:
    """Return another user of the project, with a key that is bound to this user."""
    name = f"tom{next(NUMBERS)}x"
    tenant = Tenant(name, bound_key(world, eve.name, f"user-of-{name}"), world.http)
    tenant.fill()
    with world.log.read() as snapshot:
        project = snapshot.projects.key_of(eve.name)
    assert project is not None
    tenant.ids["summary"] = world.summarise(project, tenant)
    return tenant


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_id_of_another_user_returns_404_and_changes_nothing(
    world: World, eve: Tenant, tom: Tenant, method: str, path: str, name: str
) -> None:
    before = world.export(eve)
    ids = {
        (place, parameter): (eve if parameter == name else tom).ids[kind]
        for place, parameter, kind in required_ids(method, path, name)
    }
    answer = send(tom, method, path, ids)
    assert answer.status_code == 404, answer.text
    assert world.export(eve) == before


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_own_ids_return_no_data_of_another_user(
    eve: Tenant, tom: Tenant, method: str, path: str
) -> None:
    names = {name for place, name, _ in ids_of(method, path) if place != "path"}
    if path == "/v1/search":
        names.remove("user_id")
    for optional in [None, *sorted(names)]:
        request_ids = {
            (place, name): tom.ids[kind]
            for place, name, kind in required_ids(method, path, optional)
        }
        answer = send(tom, method, path, request_ids)
        assert answer.status_code == 200, answer.text
        assert [secret for secret in eve.secrets if secret in answer.text] == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_conversation_without_user_returns_404(tom: Tenant, method: str) -> None:
    body = {"title": "mine"} if method == "POST" else None
    answer = tom.call(method, f"/v1/conversations/{NOBODYS}", json=body)
    assert answer.status_code == 404


def test_lists_have_own_data_only(tom: Tenant) -> None:
    conversations = tom.call("GET", "/v1/conversations").json()["data"]
    assert [entry["id"] for entry in conversations] == [tom.ids["conversation"]]
    users = tom.call("GET", "/v1/users").json()["data"]
    assert [entry["id"] for entry in users] == [tom.ids["user"]]


def test_lists_of_a_user_without_data_are_empty(world: World, eve: Tenant) -> None:
    new = Tenant("new", bound_key(world, eve.name, "new"), world.http)
    for path in ("/v1/conversations", "/v1/users"):
        assert new.call("GET", path).raise_for_status().json()["data"] == []


def test_new_conversations_belong_to_the_user(world: World, eve: Tenant, tom: Tenant) -> None:
    made = tom.call("POST", "/v1/conversations", json={}).raise_for_status().json()
    assert made["user"] == tom.ids["user"]
    before = world.export(eve)
    answer = tom.call("POST", "/v1/conversations", json={"user": eve.ids["user"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "user")
    assert world.export(eve) == before


def test_search_without_scope_finds_own_turns(eve: Tenant, tom: Tenant) -> None:
    answer = tom.call("POST", "/v1/search", json={"query": "walrus"}).raise_for_status()
    assert f"walrus of {tom.name}" in answer.text
    assert f"walrus of {eve.name}" not in answer.text


def test_idempotency_keys_of_users_are_apart(world: World, eve: Tenant) -> None:
    made = []
    for user in ("u1", "u2"):
        headers = {"authorization": f"Bearer {bound_key(world, eve.name, user)}"}
        headers["idempotency-key"] = "the-same"
        answer = world.http.post("/v1/conversations", json={"title": "t"}, headers=headers)
        made.append(answer.raise_for_status().json())
    assert made[0]["id"] != made[1]["id"]
    assert [entry["user"] for entry in made] == ["u1", "u2"]


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize("name", list(CHAT_IDS))
def test_chat_completion_acts_as_the_user(
    world: World, eve: Tenant, tom: Tenant, name: str, mode: str
) -> None:
    text = json.dumps(CHAT_IDS[name]).replace("{conversation}", eve.ids["conversation"])
    fields: dict[str, Any] = json.loads(text.replace("{user}", eve.ids["user"]))
    headers = {**fields.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {tom.key}"}
    with world.log.read() as snapshot:
        project = snapshot.projects.key_of(eve.name) or 0
        before = snapshot.conversations.get(project, eve.ids["conversation"])
    asked = len(world.upstream.requests)
    answer = world.http.post(CHAT, json={**BODIES[CHAT], **fields.get("json", {})}, headers=headers)
    expected = {"x-user-id": 403, "user": 200, "safety_identifier": 200}
    assert answer.status_code == expected.get(name, 404)
    with world.log.read() as snapshot:
        assert snapshot.conversations.get(project, eve.ids["conversation"]) == before
    forwarded = "".join(request.content.decode() for request in world.upstream.requests[asked:])
    assert f"walrus of {eve.name}" not in answer.text + forwarded
    if (answer.status_code, mode) == (200, "on"):
        made = answer.headers["x-conversation-id"]
        assert tom.call("GET", f"/v1/conversations/{made}").json()["user"] == tom.ids["user"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/conversations", "/v1/users"])
def test_path_prefix_of_another_user_is_forbidden(eve: Tenant, tom: Tenant, path: str) -> None:
    answer = tom.call("GET", f"/u/{eve.ids['user']}{path}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "path")
    assert tom.call("GET", f"/u/{tom.ids['user']}{path}").status_code == 200


def test_key_stays_bound_when_its_user_is_deleted(world: World, eve: Tenant, tom: Tenant) -> None:
    deleted = tom.call("DELETE", f"/v1/users/{tom.ids['user']}").raise_for_status().json()
    assert tom.call("GET", f"/v1/receipts/{deleted['receipt']}").status_code == 200
    assert tom.call("GET", "/v1/conversations").json()["data"] == []
    assert tom.call("GET", f"/v1/conversations/{eve.ids['conversation']}").status_code == 404
    made = tom.call("POST", "/v1/conversations", json={}).raise_for_status().json()
    assert made["user"] == tom.ids["user"]
    assert f"walrus of {tom.name}" not in "".join(world.export(eve))
