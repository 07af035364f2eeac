"""A running server with small limits, and helpers for the tests of limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from memory_service.conversations.export import export_lines
from memory_service.service import LOCAL_PROJECT
from memory_service.turn_log.log import TurnLog
from tests.support.factories import message

MAX_BODY, MAX_NESTING, MAX_TEXT, MAX_ITEMS, MAX_QUERY = 50_000, 12, 1_000, 5, 200
CREATE, UPDATE = "/v1/conversations", "/v1/conversations/c"
ITEMS, SEARCH, CONTEXT = f"{UPDATE}/items", "/v1/search", f"{UPDATE}/context"
VALID_BODIES: dict[str, dict[str, Any]] = {
    CREATE: {"items": [message()]},
    UPDATE: {"title": "new"},
    ITEMS: {"items": [message()]},
    SEARCH: {"query": "hello", "conversation_id": "c"},
    CONTEXT: {"input": "hello", "store": True},
}
"""A valid body for each POST route. All of them except a search change something."""


@dataclass(frozen=True)
class Server:
    """A running server with conversation `c` of items `a` and `b`, and its log."""

    http: httpx2.Client
    log: TurnLog

    def export(self) -> list[str]:
        """Return everything that is stored."""
        return list(export_lines(self.log, LOCAL_PROJECT))

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request and return the response, whatever its status."""
        return self.http.request(method, path, **request)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def refused(answer: httpx2.Response, status: int, param: str | None) -> dict[str, Any]:
    """Check the envelope of an error and return the error."""
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


LISTINGS = (CREATE, ITEMS, "/v1/users")
