"""An invalid field is refused with 400 that names it, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.limits.limited_server import (
    CONTEXT,
    CREATE,
    ITEMS,
    MAX_QUERY,
    MAX_TEXT,
    SEARCH,
    UPDATE,
    VALID_BODIES,
    Server,
    refused,
)
from tests.support.factories import function_call, message


def values_of_any_type(values: list[Any]) -> list[Any]:
    """Return a list of values of any types."""
    return values


# Invalid values: (route, the fields to replace in a valid body, the field that the error names).
FIELDS: list[tuple[str, dict[str, Any], str]] = [
    *(
        (route, {"items": wrong}, "items")
        for route in (CREATE, ITEMS)
        for wrong in values_of_any_type(["x", 7, {}])
    ),
    (ITEMS, {"items": None}, "items"),
    (ITEMS, {"items": []}, "items"),
    *((route, {"items": [message()] * 6}, "items") for route in (CREATE, ITEMS)),
    *(
        (ITEMS, {"items": [message(), wrong]}, "items.1")
        for wrong in values_of_any_type(["x", 7, None, [], {}])
    ),
    (ITEMS, {"items": [message("x" * (MAX_TEXT + 1))]}, "items.0"),
    (ITEMS, {"items": [message(role="nobody")]}, "items.0.role"),
    (ITEMS, {"items": [{**message(), "role": None}]}, "items.0.role"),
    (ITEMS, {"items": [{**message(), "role": ["user"]}]}, "items.0.role"),
    *(
        (ITEMS, {"items": [message(wrong)]}, "items.0.content")
        for wrong in values_of_any_type([None, 7, {}, ["x"]])
    ),
    (ITEMS, {"items": [message([{"text": "no type"}])]}, "items.0.content"),
    (ITEMS, {"items": [message([{"type": "text", "text": 7}])]}, "items.0.content"),
    (ITEMS, {"items": [message(type=7)]}, "items.0.type"),
    (ITEMS, {"items": [message(type="No Type")]}, "items.0.type"),
    (ITEMS, {"items": [function_call(7)]}, "items.0.call_id"),
    (ITEMS, {"items": [message(tool_calls="x")]}, "items.0.tool_calls"),
    *(
        (ITEMS, {"items": [message(name=wrong)]}, "items.0.name")
        for wrong in values_of_any_type([7, "", "x" * 129])
    ),
    *(
        (ITEMS, {"items": [message(id=wrong)]}, "items.0.id")
        for wrong in values_of_any_type(["", "x" * 129, "a b", "a/b", "ä", 7, ["a"]])
    ),
    (ITEMS, {"items": [message(id="x1"), message(id="x1")]}, "items.1.id"),
    *(
        (ITEMS, {"items": [message(created_at=wrong)]}, "items.0.created_at")
        for wrong in values_of_any_type(
            [-1, 253_402_300_800, 1e300, True, [], "2024-01-01T00:00:00", "soon", ""]
        )
    ),
    *(
        (ITEMS, {"items": [message(metadata=wrong)]}, param)
        for wrong, param in (
            ("x", "items.0.metadata"),
            ({str(n): "x" for n in range(17)}, "items.0.metadata"),
            ({"k" * 65: "x"}, "items.0.metadata"),
            ({"": "x"}, "items.0.metadata"),
            ({"k": "x" * 513}, "items.0.metadata.k"),
            ({"k": 7}, "items.0.metadata.k"),
            ({"k": None}, "items.0.metadata.k"),
        )
    ),
    (ITEMS, {"stored_as": {}}, "stored_as"),
    (ITEMS, {"stored_as": []}, "stored_as"),
    (ITEMS, {"stored_as": ["x"]}, "stored_as.0"),
    (ITEMS, {"stored_as": [{"colour": "red"}]}, "stored_as.0.colour"),
    (ITEMS, {"stored_as": [{"created_at": "2024-01-01T00:00:00"}]}, "items.0.created_at"),
    (ITEMS, {"gap_before": "yes"}, "gap_before"),
    (ITEMS, {"parent": 7}, "parent"),
    *(
        (CREATE, {"id": wrong}, "id")
        for wrong in values_of_any_type(["", "x" * 129, "a b", "../c", 7, []])
    ),
    *(
        (CREATE, {"user": wrong}, "user")
        for wrong in values_of_any_type(["", "x" * 129, " a", "a\n", 7, {}])
    ),
    *((CREATE, {"title": wrong}, "title") for wrong in values_of_any_type(["x" * 1_001, 7, []])),
    *((CREATE, {"metadata": wrong}, "metadata") for wrong in values_of_any_type(["x", 7, []])),
    *(
        (CREATE, {"created_at": wrong}, "created_at")
        for wrong in values_of_any_type(
            [-1, 1e18, True, [], {}, "2024-01-01T00:00:00", "1969-12-31T23:59:59Z"]
        )
    ),
    *((UPDATE, {"metadata": wrong}, "metadata") for wrong in values_of_any_type(["x", 7, []])),
    (UPDATE, {"metadata": {"k": "x" * 513}}, "metadata.k"),
    *((UPDATE, {"title": wrong}, "title") for wrong in values_of_any_type(["x" * 1_001, 7])),
    (UPDATE, {"head": 7}, "head"),
    *(
        (SEARCH, {"query": wrong}, "query")
        for wrong in values_of_any_type(["", 7, None, [], "x" * (MAX_QUERY + 1)])
    ),
    *(
        (SEARCH, {"top_k": wrong}, "top_k")
        for wrong in values_of_any_type([0, -1, 101, 10**30, "5", 1.5, True, None])
    ),
    (SEARCH, {"roles": "user"}, "roles"),
    (SEARCH, {"roles": ["user", "nobody"]}, "roles.1"),
    (SEARCH, {"roles": ["user", 7]}, "roles.1"),
    *(
        (SEARCH, {field: wrong}, field)
        for field in ("created_after", "created_before", "now")
        for wrong in values_of_any_type([-1, "2024-01-01T00:00:00", "never", True, []])
    ),
    (SEARCH, {"colour": "red"}, "colour"),
    (SEARCH, {"conversation_id": None}, "conversation_id"),
    (SEARCH, {"user_id": "ann"}, "conversation_id"),
    *(
        (SEARCH, {"conversation_id": wrong}, "conversation_id")
        for wrong in values_of_any_type([7, []])
    ),
    *((CONTEXT, {"input": wrong}, "input") for wrong in values_of_any_type([None, 7, {}, []])),
    (CONTEXT, {"input": ["x"]}, "input"),
    (CONTEXT, {"input": [{"content": "x"}]}, "input.0.role"),
    (CONTEXT, {"input": [message(role="nobody")]}, "input.0.role"),
    (CONTEXT, {"input": "x" * (MAX_TEXT + 1)}, "input.0"),
    *(
        (CONTEXT, {"token_budget": wrong}, "token_budget")
        for wrong in values_of_any_type([0, -1, "9", 1.5, 10**9])
    ),
    *(
        (CONTEXT, {"max_output_tokens": wrong}, "max_output_tokens")
        for wrong in values_of_any_type([-1, "9", 10**9])
    ),
    *(
        (CONTEXT, {"recent_turns": wrong}, "recent_turns")
        for wrong in values_of_any_type([-1, 1_001, "9"])
    ),
    *((CONTEXT, {"top_k": wrong}, "top_k") for wrong in values_of_any_type([-1, 101, "9"])),
    *((CONTEXT, {"scope": wrong}, "scope") for wrong in values_of_any_type(["world", 7, "user"])),
    (CONTEXT, {"store": "yes"}, "store"),
    (CONTEXT, {"tools": {}}, "tools"),
    (CONTEXT, {"instructions": 7}, "instructions"),
    (CONTEXT, {"model": 7}, "model"),
    (CONTEXT, {"now": "2024-01-01T00:00:00"}, "now"),
    (CONTEXT, {"colour": "red"}, "colour"),
    (CONTEXT, {"token_budget": 8}, "input"),
]


@pytest.mark.parametrize(("path", "fields", "param"), FIELDS)
def test_invalid_field_is_named_and_nothing_changes(
    server: Server, path: str, fields: dict[str, Any], param: str
) -> None:
    before = server.export()
    refused(server.send("POST", path, json={**VALID_BODIES[path], **fields}), 400, param)
    assert server.export() == before


@pytest.mark.parametrize("path", [ITEMS, SEARCH, CONTEXT])
def test_missing_field_is_named(server: Server, path: str) -> None:
    (field,) = {"items", "query", "input"} & set(VALID_BODIES[path])
    assert refused(server.send("POST", path, json={}), 400, field)["code"] == "missing_field"
