"""The lookup of a user's conversation takes as many statements, however many there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from memory_service.core.settings import Settings
from memory_service.gateway.locating import RequestLocator
from memory_service.gateway.request import ChatRequest
from memory_service.service import Service
from tests.support.factories import message
from tests.support.storing import create, idle_service, project_key


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with idle_service(Settings(data_dir=tmp_path)) as opened:
        yield opened


def located(service: Service, *messages: dict[str, object]) -> tuple[str, int]:
    """Return the conversation of a user's request, and the statements that located it."""
    body = {"messages": list(messages), "user": "ann"}
    chat = ChatRequest(json.dumps(body), body)
    statements: list[str] = []

    def count(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        with RequestLocator(service.log, 600).located(project_key(service), chat) as request:
            assert request is not None
            return request.conversation_id, len(statements)
    finally:
        event.remove(sa.Engine, "before_cursor_execute", count)


def test_statements_do_not_grow_with_conversations(service: Service) -> None:
    history = [message("Tell me a tale"), message("Once upon a time", "assistant")]
    create(service, "first", *history, user="ann")
    create(service, "other", message("hi"), message("hello", "assistant"), user="bob")
    counts = []
    for batch in range(2):
        for number in range(30):
            beginning = message("Tell me a tale"), message(f"Tale {batch} {number}", "assistant")
            create(service, f"c{batch}-{number}", *beginning, user="ann")
        conversation, statements = located(service, *history, message("Go on"))
        assert conversation == "first"
        counts.append(statements)
    assert counts[0] == counts[1] < 50


def test_history_in_many_conversations_is_continued_at_its_head(service: Service) -> None:
    beginning = message("hi"), message("hi", "assistant")
    create(service, "short", *beginning, user="ann")
    for number in range(20):
        create(service, f"c{number}", *beginning, message(f"and {number}"), user="ann")
    assert located(service, *beginning, message("My dog?"))[0] == "short"
