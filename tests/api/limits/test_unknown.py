"""Unknown ids, routes and methods, and invalid parameters of lists, are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.limits.limited_server import (
    CONTEXT,
    CREATE,
    ITEMS,
    LISTINGS,
    SEARCH,
    UPDATE,
    VALID_BODIES,
    Server,
    refused,
)

# Python refuses to convert an integer of that many digits.
LIMITS = ("0", "-1", "101", "1e2", "x", "", "5.5", "\u0665\u0665\u0665", "9" * 5_000)


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("limit", LIMITS)
def test_invalid_limit_is_refused(server: Server, path: str, limit: str) -> None:
    refused(server.send("GET", path, params={"limit": limit}), 400, "limit")


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("order", ["", "ASC", "random", "asc,desc"])
def test_invalid_order_is_refused(server: Server, path: str, order: str) -> None:
    refused(server.send("GET", path, params={"order": order}), 400, "order")


UNKNOWN: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "/v1/conversations/none", {}, "conversation_id"),
    ("POST", "/v1/conversations/none", {"json": {"title": "x"}}, "conversation_id"),
    ("DELETE", "/v1/conversations/none", {}, "conversation_id"),
    ("GET", "/v1/conversations/none/items", {}, "conversation_id"),
    ("POST", "/v1/conversations/none/items", {"json": VALID_BODIES[ITEMS]}, "conversation_id"),
    ("POST", "/v1/conversations/none/context", {"json": VALID_BODIES[CONTEXT]}, "conversation_id"),
    ("GET", "/v1/conversations/none/items/a", {}, "conversation_id"),
    ("DELETE", "/v1/conversations/none/items/a", {}, "conversation_id"),
    ("GET", f"{ITEMS}/none", {}, "item_id"),
    ("DELETE", f"{ITEMS}/none", {}, "item_id"),
    ("GET", "/v1/conversations/d/items/a", {}, "item_id"),
    ("DELETE", "/v1/conversations/d/items/a", {}, "item_id"),
    ("GET", f"{ITEMS}/%00", {}, "item_id"),
    ("GET", f"{ITEMS}/%ED%A0%80", {}, "item_id"),
    ("GET", f"{ITEMS}/{'x' * 5_000}", {}, "item_id"),
    ("GET", ITEMS, {"params": {"after": "none"}}, "after"),
    ("GET", CREATE, {"params": {"after": "none"}}, "after"),
    ("GET", CREATE, {"params": {"user": "none"}}, "user"),
    ("GET", "/v1/users", {"params": {"after": "none"}}, "after"),
    ("DELETE", "/v1/users/none", {}, "user_id"),
    ("GET", "/v1/receipts/none", {}, "receipt_id"),
    ("POST", ITEMS, {"json": {**VALID_BODIES[ITEMS], "parent": "none"}}, "parent"),
    ("POST", UPDATE, {"json": {"title": "new", "head": "none"}}, "head"),
    ("POST", SEARCH, {"json": {"query": "x", "conversation_id": "none"}}, "conversation_id"),
    ("POST", SEARCH, {"json": {"query": "x", "user_id": "none"}}, "user_id"),
]


@pytest.mark.parametrize(("method", "path", "fields", "param"), UNKNOWN)
def test_unknown_id_returns_404_and_nothing_changes(
    server: Server, method: str, path: str, fields: dict[str, Any], param: str
) -> None:
    before = server.export()
    error = refused(server.send(method, path, **fields), 404, param)
    assert error["code"] == "not_found"
    assert server.export() == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", CREATE, 405),
        ("DELETE", CREATE, 405),
        ("PATCH", UPDATE, 405),
        ("GET", SEARCH, 405),
        ("GET", CONTEXT, 405),
        ("POST", "/healthz", 405),
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("POST", "/v1/chat", 404),
        ("GET", "/v2/conversations", 404),
        ("GET", f"{UPDATE}/items/a/b", 404),
        ("POST", "/v1/%00", 404),
    ],
)
def test_unknown_route_or_method_is_refused(
    server: Server, method: str, path: str, status: int
) -> None:
    refused(server.send(method, path), status, None)
