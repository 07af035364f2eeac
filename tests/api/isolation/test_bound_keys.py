"""A key that is bound to a user reaches nothing of the other users of its project."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from memory_service.core import clock
from tests.api.isolation.routes import (
    BODIES,
    CANCEL,
    CHAT,
    CHAT_IDS,
    RESPONSE_IDS,
    RESPONSES,
    ROUTES,
    ids_of,
)
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


def another_user(world: World, eve: Tenant) -> Tenant:
    """Return another user of the project, with a key that is bound to this user."""
    name = f"tom{next(NUMBERS)}x"
    tenant = Tenant(name, bound_key(world, eve.name, f"user-of-{name}"), world.http)
    tenant.fill()
    tenant.complete()
    with world.log.read() as snapshot:
        project = snapshot.projects.key_of(eve.name)
    assert project is not None
    tenant.ids["summary"] = world.summarise(project, tenant)
    return tenant


@pytest.fixture(scope="module")
def tim(world: World, eve: Tenant) -> Tenant:
    """Return a user for tests that delete nothing."""
    return another_user(world, eve)


@pytest.fixture
def tom(world: World, eve: Tenant) -> Tenant:
    """Return a user for one test."""
    return another_user(world, eve)


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_id_of_another_user_returns_404_and_changes_nothing(
    world: World, eve: Tenant, tim: Tenant, method: str, path: str, name: str
) -> None:
    before = world.export(eve)
    ids = {
        (place, parameter): (eve if parameter == name else tim).ids[kind]
        for place, parameter, kind in required_ids(method, path, name)
    }
    answer = send(tim, method, path, ids)
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
        assert answer.status_code == (400 if path == CANCEL else 200), answer.text
        assert shown(eve.secrets, answer.text) == []


def shown(secrets: list[str], text: str) -> list[str]:
    """Return the secrets in a text; `chatcmpl-3` is not in `chatcmpl-31`."""
    return [secret for secret in secrets if re.search(rf"{re.escape(secret)}(?!\d)", text)]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_conversation_without_user_returns_404(tim: Tenant, method: str) -> None:
    body = {"title": "mine"} if method == "POST" else None
    answer = tim.call(method, f"/v1/conversations/{NOBODYS}", json=body)
    assert answer.status_code == 404


def test_lists_have_own_data_only(tom: Tenant) -> None:
    conversations = tom.call("GET", "/v1/conversations").json()["data"]
    assert tom.ids["conversation"] in {entry["id"] for entry in conversations}
    assert {entry["user"] for entry in conversations} == {tom.ids["user"]}
    users = tom.call("GET", "/v1/users").json()["data"]
    assert [entry["id"] for entry in users] == [tom.ids["user"]]


def test_lists_of_a_user_without_data_are_empty(world: World, eve: Tenant) -> None:
    new = Tenant("new", bound_key(world, eve.name, "new"), world.http)
    for path in ("/v1/conversations", "/v1/users"):
        assert new.call("GET", path).raise_for_status().json()["data"] == []


def test_new_conversations_belong_to_the_user(world: World, eve: Tenant, tim: Tenant) -> None:
    made = tim.call("POST", "/v1/conversations", json={}).raise_for_status().json()
    assert made["user"] == tim.ids["user"]
    before = world.export(eve)
    answer = tim.call("POST", "/v1/conversations", json={"user": eve.ids["user"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "user")
    assert world.export(eve) == before


def test_search_without_scope_finds_own_turns(eve: Tenant, tim: Tenant) -> None:
    answer = tim.call("POST", "/v1/search", json={"query": "walrus"}).raise_for_status()
    assert f"walrus of {tim.name}" in answer.text
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


ASKED = [
    *((CHAT, name, fields) for name, fields in CHAT_IDS.items()),
    *((RESPONSES, name, fields) for name, fields in RESPONSE_IDS.items()),
]
STATUS = {"x-user-id": 403, "user": 200, "safety_identifier": 200, "previous_response_id": 400}


@pytest.mark.parametrize("mode", ["on", "read"])
@pytest.mark.parametrize(("path", "name", "fields"), ASKED)
def test_request_to_the_model_acts_as_the_user(
    world: World, eve: Tenant, tim: Tenant, path: str, name: str, fields: Any, mode: str
) -> None:
    text = json.dumps(fields)
    for kind in ("conversation", "user", "response"):
        text = text.replace(f"{{{kind}}}", eve.ids[kind])
    sent = json.loads(text)
    headers = {**sent.get("headers", {}), "x-memory": mode, "authorization": f"Bearer {tim.key}"}
    before = turns_of(world, eve)
    asked = len(world.upstream.requests)
    body = {**BODIES[path], **sent.get("json", {})}
    answer = world.http.post(path, json=body, headers=headers)
    assert answer.status_code == STATUS.get(name, 404), answer.text
    assert turns_of(world, eve) == before
    forwarded = "".join(request.content.decode() for request in world.upstream.requests[asked:])
    assert f"walrus of {eve.name}" not in answer.text + forwarded
    if (answer.status_code, mode) == (200, "on"):
        made = answer.headers["x-conversation-id"]
        assert tim.call("GET", f"/v1/conversations/{made}").json()["user"] == tim.ids["user"]


def turns_of(world: World, eve: Tenant) -> int:
    with world.log.read() as snapshot:
        project = snapshot.projects.key_of(eve.name) or 0
        conversation = snapshot.conversations.get(project, eve.ids["conversation"])
    assert conversation is not None
    return conversation.next_seq


@pytest.mark.parametrize("path", ["/v1/models", "/v1/conversations", "/v1/users"])
def test_path_prefix_of_another_user_is_forbidden(eve: Tenant, tim: Tenant, path: str) -> None:
    answer = tim.call("GET", f"/u/{eve.ids['user']}{path}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "path")
    assert tim.call("GET", f"/u/{tim.ids['user']}{path}").status_code == 200


def test_key_stays_bound_when_its_user_is_deleted(world: World, eve: Tenant, tom: Tenant) -> None:
    deleted = tom.call("DELETE", f"/v1/users/{tom.ids['user']}").raise_for_status().json()
    assert tom.call("GET", f"/v1/receipts/{deleted['receipt']}").status_code == 200
    assert tom.call("GET", "/v1/conversations").json()["data"] == []
    assert tom.call("GET", f"/v1/conversations/{eve.ids['conversation']}").status_code == 404
    made = tom.call("POST", "/v1/conversations", json={}).raise_for_status().json()
    assert made["user"] == tom.ids["user"]
    assert f"walrus of {tom.name}" not in "".join(world.export(eve))
