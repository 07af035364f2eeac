"""A body that is malformed or too large is refused, and nothing changes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.api.limits.limited_server import (
    CREATE,
    ITEMS,
    MAX_BODY,
    MAX_ITEMS,
    MAX_NESTING,
    MAX_QUERY,
    MAX_TEXT,
    SEARCH,
    VALID_BODIES,
    Server,
    nested,
    refused,
)
from tests.support.factories import message

BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "invalid_json"),
    "no JSON": (b"{items: []}", 400, "invalid_json"),
    "half": (b'{"items": [', 400, "invalid_json"),
    "two values": (b"{} {}", 400, "invalid_json"),
    "only a byte order mark": (b"\xef\xbb\xbf", 400, "invalid_json"),
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


# Only the creation of a conversation needs no body.
@pytest.mark.parametrize(
    ("path", "case"),
    [(path, case) for path in VALID_BODIES for case in BODIES if (path, case) != (CREATE, "empty")],
)
def test_invalid_body_is_refused_by_every_route(server: Server, path: str, case: str) -> None:
    body, status, code = BODIES[case]
    before = server.export()
    param = "body" if code == "invalid_text" else None
    answer = server.send("POST", path, content=body)
    assert refused(answer, status, param)["code"] == code
    assert server.export() == before


def test_values_at_the_limits_are_accepted(server: Server) -> None:
    items = [message("x" * MAX_TEXT, metadata={str(n): "x" * 512 for n in range(16)})] * MAX_ITEMS
    body = {"items": items, "title": "t" * 1_000, "deep": nested(MAX_NESTING - 1)}
    answer = server.send("POST", CREATE, json=body)
    assert answer.status_code == 200, answer.text
    query = {**VALID_BODIES[SEARCH], "query": "x" * MAX_QUERY, "top_k": 100}
    assert server.send("POST", SEARCH, json=query).status_code == 200


def test_body_without_content_length_is_limited(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"x": "'
        for _ in range(MAX_BODY // 1_000 + 1):
            yield b"x" * 1_000

    refused(server.send("POST", CREATE, content=chunks()), 413, None)


def test_limit_errors_name_their_setting(server: Server) -> None:
    cases = {
        "MEMORY_MAX_BODY_BYTES": (ITEMS, "x" * MAX_BODY),
        "MEMORY_MAX_NESTING": (ITEMS, {"x": nested(MAX_NESTING)}),
        "MEMORY_MAX_TEXT_CHARS": (ITEMS, {"items": [message("x" * (MAX_TEXT + 1))]}),
        "MEMORY_MAX_ITEMS_PER_CALL": (ITEMS, {"items": [message()] * (MAX_ITEMS + 1)}),
        "MEMORY_MAX_QUERY_CHARS": (
            SEARCH,
            {**VALID_BODIES[SEARCH], "query": "x" * (MAX_QUERY + 1)},
        ),
    }
    for setting, (path, body) in cases.items():
        assert setting in server.send("POST", path, json=body).json()["error"]["message"]
