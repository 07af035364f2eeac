"""Chat messages of a request as items, and merged user messages."""

from __future__ import annotations

from memory_service.items.chat_messages import alternating, input_messages
from tests.support.factories import chat_calls, chat_output, make_path, message


def test_consecutive_user_messages_are_merged_unless_named() -> None:
    messages = [message("a"), message("b"), message("c", name="ann"), message("d"), message("e")]
    merged = alternating(messages)
    assert [merged_message.get("name") for merged_message in merged] == [None, "ann", None]
    assert [part["text"] for part in merged[0]["content"]] == ["a", "b"]
    assert alternating(merged) == merged


def test_input_messages_equal_stored_items() -> None:
    items = [message("hello"), chat_calls("a", "b"), chat_output("a"), chat_output("b")]
    assert input_messages(make_path(items)) == items
