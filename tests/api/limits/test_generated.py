"""Generated bodies and queries get a valid response."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.limits.limited_server import (
    CONTEXT,
    CREATE,
    ITEMS,
    LISTINGS,
    SEARCH,
    UPDATE,
    VALID_BODIES,
    Server,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELD_NAMES = sorted(
    {field for path in VALID_BODIES for field in VALID_BODIES[path]}
    | {"id", "user", "metadata", "stored_as", "created_at", "head", "parent", "gap_before"}
    | {"user_id", "roles", "top_k", "created_after", "created_before", "now", "scope"}
    | {"instructions", "model", "token_budget", "max_output_tokens", "tools", "recent_turns"}
)
ITEM = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": JSON | st.text()},
    optional=dict.fromkeys(("type", "tool_calls", "tool_call_id", "name", "refusal"), JSON),
)
FUZZ: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    CREATE: {"items": st.lists(ITEM | JSON, max_size=3)},
    UPDATE: {},
    ITEMS: {"items": st.lists(ITEM | JSON, min_size=1, max_size=3)},
    SEARCH: {"query": st.text(min_size=1), "conversation_id": st.just("c")},
    CONTEXT: {"input": st.lists(ITEM, min_size=1, max_size=3) | st.text()},
}
"""For each POST route, fields with which a body passes the first check."""


def check_answer(answer: httpx2.Response) -> None:
    assert answer.status_code in {200, 400, 404, 409}, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", VALID_BODIES)
@given(body=JSON | st.dictionaries(st.sampled_from(FIELD_NAMES), JSON))
def test_any_json_body_gets_a_valid_response(server: Server, path: str, body: Any) -> None:
    check_answer(server.send("POST", path, content=json.dumps(body)))


@pytest.mark.parametrize("path", VALID_BODIES)
@given(data=st.data())
def test_nearly_valid_body_gets_a_valid_response(
    server: Server, path: str, data: st.DataObject
) -> None:
    body = data.draw(st.fixed_dictionaries(FUZZ[path]))
    extra = data.draw(st.dictionaries(st.sampled_from(FIELD_NAMES), JSON, max_size=2))
    check_answer(server.send("POST", path, content=json.dumps({**extra, **body})))


@pytest.mark.parametrize("path", LISTINGS)
@given(query=st.dictionaries(st.sampled_from(["after", "limit", "order", "user"]), st.text()))
def test_any_query_gets_a_valid_response(server: Server, path: str, query: dict[str, str]) -> None:
    check_answer(server.send("GET", path, params=query))
