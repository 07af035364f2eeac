"""What is refused: a 4xx in OpenAI's envelope that names the field, and nothing changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.composition.data_folder import open_log
from memory_service.conversations.export import export_lines
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import LOCAL_PROJECT
from memory_service.turn_log.log import TurnLog
from tests.support.factories import function_call, message

MAX_BODY, MAX_NESTING, MAX_TEXT, MAX_ITEMS, MAX_QUERY = 50_000, 12, 1_000, 5, 200
CREATE, UPDATE = "/v1/conversations", "/v1/conversations/c"
ITEMS, SEARCH, CONTEXT = f"{UPDATE}/items", "/v1/search", f"{UPDATE}/context"
GIVEN: dict[str, dict[str, Any]] = {
    CREATE: {"items": [message()]},
    UPDATE: {"title": "new"},
    ITEMS: {"items": [message()]},
    SEARCH: {"query": "hello", "conversation_id": "c"},
    CONTEXT: {"input": "hello", "store": True},
}
"""A body for each POST route that would be accepted and, search apart, change something."""


@dataclass(frozen=True)
class Server:
    """A running server with conversation `c` of items `a` and `b`, and its log."""

    http: httpx2.Client
    log: TurnLog

    def export(self) -> list[str]:
        """Return everything that is stored."""
        return list(export_lines(self.log, LOCAL_PROJECT))

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request as it is."""
        return self.http.request(method, path, **request)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("limits"),
        port=0,
        log_level="warning",
        max_body_bytes=MAX_BODY,
        max_nesting=MAX_NESTING,
        max_text_chars=MAX_TEXT,
        max_items_per_call=MAX_ITEMS,
        max_query_chars=MAX_QUERY,
    )
    with (
        running(settings, "tests") as url,
        httpx2.Client(base_url=url) as http,
        closing(open_log(settings.data_dir)) as log,
    ):
        items = [message("hello", id="a"), message("hello again", "assistant", id="b")]
        body = {"id": "c", "items": items}
        http.post(CREATE, json=body).raise_for_status()
        http.post(CREATE, json={"id": "d", "user": "ann"}).raise_for_status()
        yield Server(http, log)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def refused(answer: httpx2.Response, status: int, param: str | None) -> dict[str, Any]:
    """Check an error's shape and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param, error
    assert error["message"]
    assert error["code"]
    return error


def any_of(values: list[Any]) -> list[Any]:
    """Return values, whose types have nothing in common."""
    return values


# What a body's field may not be: (route, the fields that differ, the field that is named).
FIELDS: list[tuple[str, dict[str, Any], str]] = [
    *(
        (route, {"items": wrong}, "items")
        for route in (CREATE, ITEMS)
        for wrong in any_of(["x", 7, {}])
    ),
    (ITEMS, {"items": None}, "items"),
    (ITEMS, {"items": []}, "items"),
    *((route, {"items": [message()] * 6}, "items") for route in (CREATE, ITEMS)),
    *(
        (ITEMS, {"items": [message(), wrong]}, "items.1")
        for wrong in any_of(["x", 7, None, [], {}])
    ),
    (ITEMS, {"items": [message("x" * (MAX_TEXT + 1))]}, "items.0"),
    (ITEMS, {"items": [message(role="nobody")]}, "items.0.role"),
    (ITEMS, {"items": [{**message(), "role": None}]}, "items.0.role"),
    (ITEMS, {"items": [{**message(), "role": ["user"]}]}, "items.0.role"),
    *(
        (ITEMS, {"items": [message(wrong)]}, "items.0.content")
        for wrong in any_of([None, 7, {}, ["x"]])
    ),
    (ITEMS, {"items": [message([{"text": "no type"}])]}, "items.0.content"),
    (ITEMS, {"items": [message([{"type": "text", "text": 7}])]}, "items.0.content"),
    (ITEMS, {"items": [message(type=7)]}, "items.0.type"),
    (ITEMS, {"items": [message(type="No Type")]}, "items.0.type"),
    (ITEMS, {"items": [function_call(7)]}, "items.0.call_id"),
    (ITEMS, {"items": [message(tool_calls="x")]}, "items.0.tool_calls"),
    *(
        (ITEMS, {"items": [message(name=wrong)]}, "items.0.name")
        for wrong in any_of([7, "", "x" * 129])
    ),
    *(
        (ITEMS, {"items": [message(id=wrong)]}, "items.0.id")
        for wrong in any_of(["", "x" * 129, "a b", "a/b", "ä", 7, ["a"]])
    ),
    (ITEMS, {"items": [message(id="x1"), message(id="x1")]}, "items.1.id"),
    *(
        (ITEMS, {"items": [message(created_at=wrong)]}, "items.0.created_at")
        for wrong in any_of(
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
    *((CREATE, {"id": wrong}, "id") for wrong in any_of(["", "x" * 129, "a b", "../c", 7, []])),
    *((CREATE, {"user": wrong}, "user") for wrong in any_of(["", "x" * 129, " a", "a\n", 7, {}])),
    *((CREATE, {"title": wrong}, "title") for wrong in any_of(["x" * 1_001, 7, []])),
    *((CREATE, {"metadata": wrong}, "metadata") for wrong in any_of(["x", 7, []])),
    *(
        (CREATE, {"created_at": wrong}, "created_at")
        for wrong in any_of([-1, 1e18, True, [], {}, "2024-01-01T00:00:00", "1969-12-31T23:59:59Z"])
    ),
    *((UPDATE, {"metadata": wrong}, "metadata") for wrong in any_of(["x", 7, []])),
    (UPDATE, {"metadata": {"k": "x" * 513}}, "metadata.k"),
    *((UPDATE, {"title": wrong}, "title") for wrong in any_of(["x" * 1_001, 7])),
    (UPDATE, {"head": 7}, "head"),
    *(
        (SEARCH, {"query": wrong}, "query")
        for wrong in any_of(["", 7, None, [], "x" * (MAX_QUERY + 1)])
    ),
    *(
        (SEARCH, {"top_k": wrong}, "top_k")
        for wrong in any_of([0, -1, 101, 10**30, "5", 1.5, True, None])
    ),
    (SEARCH, {"roles": "user"}, "roles"),
    (SEARCH, {"roles": ["user", "nobody"]}, "roles.1"),
    (SEARCH, {"roles": ["user", 7]}, "roles.1"),
    *(
        (SEARCH, {field: wrong}, field)
        for field in ("created_after", "created_before", "now")
        for wrong in any_of([-1, "2024-01-01T00:00:00", "never", True, []])
    ),
    (SEARCH, {"colour": "red"}, "colour"),
    (SEARCH, {"conversation_id": None}, "conversation_id"),
    (SEARCH, {"user_id": "ann"}, "conversation_id"),
    *((SEARCH, {"conversation_id": wrong}, "conversation_id") for wrong in any_of([7, []])),
    *((CONTEXT, {"input": wrong}, "input") for wrong in any_of([None, 7, {}, []])),
    (CONTEXT, {"input": ["x"]}, "input"),
    (CONTEXT, {"input": [{"content": "x"}]}, "input.0.role"),
    (CONTEXT, {"input": [message(role="nobody")]}, "input.0.role"),
    (CONTEXT, {"input": "x" * (MAX_TEXT + 1)}, "input.0"),
    *(
        (CONTEXT, {"token_budget": wrong}, "token_budget")
        for wrong in any_of([0, -1, "9", 1.5, 10**9])
    ),
    *(
        (CONTEXT, {"max_output_tokens": wrong}, "max_output_tokens")
        for wrong in any_of([-1, "9", 10**9])
    ),
    *((CONTEXT, {"recent_turns": wrong}, "recent_turns") for wrong in any_of([-1, 1_001, "9"])),
    *((CONTEXT, {"top_k": wrong}, "top_k") for wrong in any_of([-1, 101, "9"])),
    *((CONTEXT, {"scope": wrong}, "scope") for wrong in any_of(["world", 7, "user"])),
    (CONTEXT, {"store": "yes"}, "store"),
    (CONTEXT, {"tools": {}}, "tools"),
    (CONTEXT, {"instructions": 7}, "instructions"),
    (CONTEXT, {"model": 7}, "model"),
    (CONTEXT, {"now": "2024-01-01T00:00:00"}, "now"),
    (CONTEXT, {"colour": "red"}, "colour"),
    (CONTEXT, {"token_budget": 8}, "input"),
]


@pytest.mark.parametrize(("path", "fields", "param"), FIELDS)
def test_a_wrong_field_is_named_and_nothing_changes(
    server: Server, path: str, fields: dict[str, Any], param: str
) -> None:
    before = server.export()
    refused(server.send("POST", path, json={**GIVEN[path], **fields}), 400, param)
    assert server.export() == before


@pytest.mark.parametrize("path", [ITEMS, SEARCH, CONTEXT])
def test_a_missing_field_is_named(server: Server, path: str) -> None:
    (field,) = {"items", "query", "input"} & set(GIVEN[path])
    assert refused(server.send("POST", path, json={}), 400, field)["code"] == "missing_field"


BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "invalid_json"),
    "no JSON": (b"{items: []}", 400, "invalid_json"),
    "half": (b'{"items": [', 400, "invalid_json"),
    "two values": (b"{} {}", 400, "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", 400, "invalid_json"),
    "bad UTF-8": (b'{"title": "\xff"}', 400, "invalid_json"),
    "UTF-16": ('{"title": "x"}'.encode("utf-16"), 400, "invalid_json"),
    "surrogate bytes": (b'{"title": "\xed\xa0\x80"}', 400, "invalid_json"),
    "a list": (b"[]", 400, "invalid_type"),
    "a string": (b'"x"', 400, "invalid_type"),
    "null": (b"null", 400, "invalid_type"),
    "lone surrogate": (rb'{"title": "\ud800"}', 400, "invalid_text"),
    "reversed surrogates": (rb'{"title": "\udc00\ud800"}', 400, "invalid_text"),
    "surrogate in a key": (rb'{"metadata": {"\udfff": "x"}}', 400, "invalid_text"),
    "NUL": (rb'{"title": "a\u0000b"}', 400, "invalid_text"),
    "NUL in a key": (rb'{"metadata": {"\u0000": "x"}}', 400, "invalid_text"),
    "NUL unescaped": (b'{"title": "a\x00b"}', 400, "invalid_json"),
    "NaN": (b'{"created_at": NaN}', 400, "invalid_json"),
    "Infinity": (b'{"created_at": Infinity}', 400, "invalid_json"),
    "minus Infinity": (b'{"created_at": -Infinity}', 400, "invalid_json"),
    "a number beyond all": (b'{"created_at": 1e999}', 400, "invalid_json"),
    "an endless integer": (b'{"created_at": ' + b"9" * 5_000 + b"}", 400, "invalid_json"),
    "too deep": (json.dumps({"x": nested(MAX_NESTING)}).encode(), 400, "nesting_too_deep"),
    "far too deep": (b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "nesting_too_deep"),
    "too large": (b'{"x": "' + b"x" * MAX_BODY + b'"}', 413, "request_too_large"),
}


# A conversation may be made of nothing; every other route needs a body.
@pytest.mark.parametrize(
    ("path", "case"),
    [(path, case) for path in GIVEN for case in BODIES if (path, case) != (CREATE, "empty")],
)
def test_a_wrong_body_is_refused_by_every_route(server: Server, path: str, case: str) -> None:
    body, status, code = BODIES[case]
    before = server.export()
    param = "body" if code == "invalid_text" else None
    answer = server.send("POST", path, content=body)
    assert refused(answer, status, param)["code"] == code
    assert server.export() == before


def test_what_is_just_within_the_limits_is_accepted(server: Server) -> None:
    items = [message("x" * MAX_TEXT, metadata={str(n): "x" * 512 for n in range(16)})] * MAX_ITEMS
    body = {"items": items, "title": "t" * 1_000, "deep": nested(MAX_NESTING - 1)}
    answer = server.send("POST", CREATE, json=body)
    assert answer.status_code == 200, answer.text
    query = {**GIVEN[SEARCH], "query": "x" * MAX_QUERY, "top_k": 100}
    assert server.send("POST", SEARCH, json=query).status_code == 200


def test_a_body_that_does_not_say_its_size_is_still_measured(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"x": "'
        for _ in range(MAX_BODY // 1_000 + 1):
            yield b"x" * 1_000

    refused(server.send("POST", CREATE, content=chunks()), 413, None)


LISTINGS = (CREATE, ITEMS, "/v1/users")
# The endless integer is longer than Python converts.
LIMITS = ("0", "-1", "101", "1e2", "x", "", "5.5", "\u0665\u0665\u0665", "9" * 5_000)


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("limit", LIMITS)
def test_an_absurd_limit_is_refused(server: Server, path: str, limit: str) -> None:
    refused(server.send("GET", path, params={"limit": limit}), 400, "limit")


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("order", ["", "ASC", "random", "asc,desc"])
def test_an_unknown_order_is_refused(server: Server, path: str, order: str) -> None:
    refused(server.send("GET", path, params={"order": order}), 400, "order")


UNKNOWN: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "/v1/conversations/none", {}, "conversation_id"),
    ("POST", "/v1/conversations/none", {"json": {"title": "x"}}, "conversation_id"),
    ("DELETE", "/v1/conversations/none", {}, "conversation_id"),
    ("GET", "/v1/conversations/none/items", {}, "conversation_id"),
    ("POST", "/v1/conversations/none/items", {"json": GIVEN[ITEMS]}, "conversation_id"),
    ("POST", "/v1/conversations/none/context", {"json": GIVEN[CONTEXT]}, "conversation_id"),
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
    ("POST", ITEMS, {"json": {**GIVEN[ITEMS], "parent": "none"}}, "parent"),
    ("POST", UPDATE, {"json": {"title": "new", "head": "none"}}, "head"),
    ("POST", SEARCH, {"json": {"query": "x", "conversation_id": "none"}}, "conversation_id"),
    ("POST", SEARCH, {"json": {"query": "x", "user_id": "none"}}, "user_id"),
]


@pytest.mark.parametrize(("method", "path", "fields", "param"), UNKNOWN)
def test_an_unknown_id_is_not_found_and_nothing_changes(
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
def test_an_unknown_route_or_method_is_refused(
    server: Server, method: str, path: str, status: int
) -> None:
    refused(server.send(method, path), status, None)


def test_a_refusal_says_which_setting_to_change(server: Server) -> None:
    cases = {
        "MEMORY_MAX_BODY_BYTES": (ITEMS, "x" * MAX_BODY),
        "MEMORY_MAX_NESTING": (ITEMS, {"x": nested(MAX_NESTING)}),
        "MEMORY_MAX_TEXT_CHARS": (ITEMS, {"items": [message("x" * (MAX_TEXT + 1))]}),
        "MEMORY_MAX_ITEMS_PER_CALL": (ITEMS, {"items": [message()] * (MAX_ITEMS + 1)}),
        "MEMORY_MAX_QUERY_CHARS": (SEARCH, {**GIVEN[SEARCH], "query": "x" * (MAX_QUERY + 1)}),
    }
    for setting, (path, body) in cases.items():
        assert setting in server.send("POST", path, json=body).json()["error"]["message"]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELD_NAMES = sorted(
    {field for path in GIVEN for field in GIVEN[path]}
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
"""For each POST route, fields that lead a body past the first check."""


def check_answer(answer: httpx2.Response) -> None:
    assert answer.status_code in {200, 400, 404, 409}, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", GIVEN)
@given(body=JSON | st.dictionaries(st.sampled_from(FIELD_NAMES), JSON))
def test_any_json_gets_an_answer_that_is_no_bug(server: Server, path: str, body: Any) -> None:
    check_answer(server.send("POST", path, content=json.dumps(body)))


@pytest.mark.parametrize("path", GIVEN)
@given(data=st.data())
def test_bodies_that_are_nearly_right_get_an_answer_that_is_no_bug(
    server: Server, path: str, data: st.DataObject
) -> None:
    body = data.draw(st.fixed_dictionaries(FUZZ[path]))
    extra = data.draw(st.dictionaries(st.sampled_from(FIELD_NAMES), JSON, max_size=2))
    check_answer(server.send("POST", path, content=json.dumps({**extra, **body})))


@pytest.mark.parametrize("path", LISTINGS)
@given(query=st.dictionaries(st.sampled_from(["after", "limit", "order", "user"]), st.text()))
def test_any_query_gets_an_answer_that_is_no_bug(
    server: Server, path: str, query: dict[str, str]
) -> None:
    check_answer(server.send("GET", path, params=query))
