"""Two projects that use the same ids stay apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.isolation.tenants import Tenant, World
from tests.support.factories import message


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
def test_equal_ids_return_own_data(
    twins: tuple[Tenant, Tenant], method: str, path: str, body: dict[str, Any] | None
) -> None:
    for tenant, other_tenant in (twins, reversed(twins)):
        answer = tenant.call(method, path, json=body).raise_for_status()
        assert tenant.name in answer.text
        assert other_tenant.name not in answer.text


@pytest.mark.parametrize(
    "path", ["/v1/conversations/c/items/i", "/v1/conversations/c", "/v1/users/u"]
)
def test_delete_of_equal_id_keeps_other_project(
    world: World, twins: tuple[Tenant, Tenant], path: str
) -> None:
    mine, other_tenant = twins
    before = world.export(other_tenant)
    mine.call("DELETE", path).raise_for_status()
    assert f"the walrus of {mine.name}" not in "".join(world.export(mine))
    assert world.export(other_tenant) == before
    result = other_tenant.call(
        "POST", "/v1/search", json={"query": "walrus", "user_id": "u"}
    ).json()
    assert [hit["item_id"] for hit in result["data"]] == ["i"]


def test_idempotency_key_belongs_to_project(twins: tuple[Tenant, Tenant]) -> None:
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
