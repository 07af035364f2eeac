"""Chat messages of a request as items."""

from __future__ import annotations

from memory_service.items.chat_messages import ClientMessage, input_messages
from tests.support.factories import chat_calls, chat_output, make_path, message


def test_input_messages_equal_stored_items() -> None:
    items = [message("hello"), chat_calls("a", "b"), chat_output("a"), chat_output("b")]
    assert input_messages(make_path(items)) == items


def test_input_messages_are_as_client_sent_them() -> None:
    sent = message([{"type": "text", "text": "hello"}], cache_control={"type": "ephemeral"})
    path = make_path([message("hello")])
    assert input_messages(path, {path[0].key: ClientMessage(0, sent)}) == [sent]
