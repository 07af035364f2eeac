"""No route returns data of another project, whatever the ids in its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.api.isolation.routes import (
    BODIES,
    CANCEL,
    HARMLESS,
    IDS,
    NEW,
    OPEN,
    ROUTES,
    fields_of,
    ids_of,
)
from tests.api.isolation.tenants import Tenant, World


def send(
    caller: Tenant, method: str, path: str, ids: Mapping[tuple[str, str], str]
) -> httpx2.Response:
    """Call a route with ids by (location, name)."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "body": {}}
    for (place, name), value in ids.items():
        places[place][name] = value
    request: dict[str, Any] = {"params": places["query"]}
    if method == "post":
        request["json"] = {**BODIES[path], **places["body"]}
    return caller.call(method.upper(), path.format(**places["path"]), **request)


def required_ids(method: str, path: str, optional: str | None) -> list[tuple[str, str, str]]:
    """Return the ids in the path, and the `optional` one."""
    return [entry for entry in ids_of(method, path) if entry[0] == "path" or entry[1] == optional]


CASES = [(method, path, name) for method, path in ROUTES for _, name, _ in ids_of(method, path)]


def test_every_parameter_is_in_a_table() -> None:
    for method, path in ROUTES:
        for _, name in fields_of(method, path):
            assert name == "after" or name in IDS or name in HARMLESS or (method, path, name) in NEW
    assert len(CASES) >= 20


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_id_of_another_project_returns_404_and_changes_nothing(
    world: World, ann: Tenant, bob: Tenant, method: str, path: str, name: str
) -> None:
    request_ids = {
        (place, parameter): (ann if parameter == name else bob).ids[kind]
        for place, parameter, kind in required_ids(method, path, name)
    }
    before = world.export(ann), world.export(bob)
    answer = send(bob, method, path, request_ids)
    assert answer.status_code == 404, answer.text
    assert (world.export(ann), world.export(bob)) == before


@pytest.mark.parametrize(("method", "path", "name"), CASES)
def test_id_of_another_project_looks_unknown(
    ann: Tenant, bob: Tenant, method: str, path: str, name: str
) -> None:
    ids = required_ids(method, path, name)
    other_ids = {(place, parameter): ann.ids[kind] for place, parameter, kind in ids}
    unknown_ids = {(place, parameter): f"no-{kind}" for place, parameter, kind in ids}
    other_answer = send(bob, method, path, other_ids)
    unknown_answer = send(bob, method, path, unknown_ids)
    text = other_answer.text
    for place, parameter, kind in ids:
        text = text.replace(other_ids[place, parameter], f"no-{kind}")
    assert (other_answer.status_code, text) == (404, unknown_answer.text)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_own_ids_return_no_data_of_another_project(
    world: World, ann: Tenant, bob: Tenant, method: str, path: str
) -> None:
    names = {name for place, name, _ in ids_of(method, path) if place != "path"}
    if path == "/v1/search":
        names.remove("user_id")
    before = world.export(ann)
    for optional in sorted(names) if path == "/v1/search" else [None, *sorted(names)]:
        request_ids = {
            (place, name): bob.ids[kind]
            for place, name, kind in required_ids(method, path, optional)
        }
        answer = send(bob, method, path, request_ids)
        assert answer.status_code == (400 if path == CANCEL else 200), answer.text
        assert [secret for secret in ann.secrets if secret in answer.text] == []
    assert world.export(ann) == before


@pytest.mark.parametrize("authorization", [None, "Bearer msk_wrong", "Bearer {name}"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_valid_key(
    world: World, ann: Tenant, method: str, path: str, authorization: str | None
) -> None:
    request_ids = {
        name: ann.ids[kind] for place, name, kind in ids_of(method, path) if place == "path"
    }
    headers = (
        {} if authorization is None else {"authorization": authorization.format(name=ann.name)}
    )
    before = world.export(ann)
    answer = world.http.request(
        method, path.format(**request_ids), headers=headers, json=BODIES.get(path)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert world.export(ann) == before


def test_open_routes_return_no_data(world: World, ann: Tenant) -> None:
    for path in (*OPEN, "/docs", "/openapi.json"):
        answer = world.http.get(path)
        assert answer.status_code == 200
        assert [secret for secret in ann.secrets if secret in answer.text] == []
