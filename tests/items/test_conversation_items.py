"""Checks of items that clients send, and the turns that they become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import MICROSECONDS
from memory_service.items.chat_messages import message_groups
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.fields import check_id
from memory_service.items.item_view import show_item
from tests.support.factories import (
    LIMITS,
    chat_calls,
    chat_output,
    function_call,
    function_output,
    make_turn,
    message,
    new_turn,
)


def refusal(item: Any, **stored_as: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_item(item, json.dumps(item), stored_as, LIMITS, "items.3")
    return caught.value


@pytest.mark.parametrize(
    ("item", "prefix"),
    [
        (message(), "msg_"),
        (function_call(), "fc_"),
        (function_output(), "fco_"),
        ({"type": "compaction"}, "item_"),
    ],
)
def test_item_without_an_id_gets_a_new_id(item: dict[str, Any], prefix: str) -> None:
    first, second = new_turn(item), new_turn(item)
    assert first.id.startswith(prefix)
    assert first.id != second.id
    assert check_id(first.id, "id") == first.id


@pytest.mark.parametrize("given_id", ["a", "msg_1", "A-b_9", "x" * 128])
def test_id_of_an_item_is_kept(given_id: str) -> None:
    turn = new_turn(message(id=given_id))
    assert (turn.id, turn.id_given) == (given_id, True)


@pytest.mark.parametrize("bad", ["", "x" * 129, "a b", "a\n", "ä", "a/b", "..", 7, True, ["a"]])
def test_invalid_id_is_refused(bad: Any) -> None:
    error = refusal(message(id=bad))
    assert (error.param, error.code) == ("items.3.id", "invalid_id")


@pytest.mark.parametrize(
    ("item", "calls", "answers"),
    [
        (message(), (), None),
        (function_call("a"), ("a",), None),
        (function_output("a"), (), "a"),
        ({"type": "custom_tool_call", "name": "n", "call_id": "a"}, ("a",), None),
        ({"type": "custom_tool_call_output", "call_id": "a"}, (), "a"),
        ({"type": "computer_call", "call_id": "x" * 256}, ("x" * 256,), None),
        ({"type": "shell_call_output", "call_id": "a"}, (), "a"),
        ({"type": "tool_search_call", "call_id": None}, (), None),
        (chat_calls("a", "b"), ("a", "b"), None),
        (chat_output("a"), (), "a"),
        (message("x", "tool"), (), None),
        (message("x", "assistant", tool_calls=None), (), None),
    ],
)
def test_tool_links_of_an_item(
    item: dict[str, Any], calls: tuple[str, ...], answers: str | None
) -> None:
    turn = new_turn(item)
    assert (turn.calls, turn.answers) == (calls, answers)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ([], "items.3"),
        ("hi", "items.3"),
        (None, "items.3"),
        ({}, "items.3"),
        ({"id": "a", "content": "hi"}, "items.3"),
        ({"type": ["message"]}, "items.3.type"),
        ({"type": "Message"}, "items.3.type"),
        ({"type": ""}, "items.3.type"),
        ({"type": "x" * 65}, "items.3.type"),
        ({"type": "message", "content": "hi"}, "items.3.role"),
        (message(role="robot"), "items.3.role"),
        ({"role": None, "content": "hi"}, "items.3.role"),
        ({"role": ["user"], "content": "hi"}, "items.3.role"),
        ({"role": {}, "content": "hi"}, "items.3.role"),
        ({"role": "user"}, "items.3.content"),
        (message(None), "items.3.content"),
        (message(7), "items.3.content"),
        (message({"type": "text", "text": "hi"}), "items.3.content"),
        (message(["hi"]), "items.3.content"),
        (message([{"text": "hi"}]), "items.3.content"),
        (message([{"type": 1, "text": "hi"}]), "items.3.content"),
        (message([{"type": "text", "text": 7}]), "items.3.content"),
        (message([{"type": "input_text", "text": ["hi"]}]), "items.3.content"),
        (message(None, "assistant", tool_calls="abc"), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=["abc"]), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls={"id": "a"}), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=5), "items.3.tool_calls"),
        (message("4", "tool", tool_call_id="a", tool_calls=["abc"]), "items.3.tool_calls"),
        (message(None, "assistant", tool_calls=[{}]), "items.3.tool_calls.id"),
        (message(None, "assistant", tool_calls=[{"id": 5}]), "items.3.tool_calls.id"),
        (message("4", "tool", tool_call_id=""), "items.3.tool_call_id"),
        (message("4", "tool", tool_call_id="x" * 257), "items.3.tool_call_id"),
        (function_call(None), "items.3.call_id"),
        (function_call(""), "items.3.call_id"),
        (function_call(7), "items.3.call_id"),
        (function_output(None), "items.3.call_id"),
        ({"type": "custom_tool_call", "name": "run"}, "items.3.call_id"),
        ({"type": "custom_tool_call_output", "output": "a"}, "items.3.call_id"),
        ({"type": "function_call", "call_id": "a"}, "items.3.name"),
        ({"type": "custom_tool_call", "call_id": "a", "name": 7}, "items.3.name"),
        (message(name=7), "items.3.name"),
        (message(name="x" * 129), "items.3.name"),
        (message(name="a\x00"), "items.3.name"),
        (message(created_at="yesterday"), "items.3.created_at"),
        (message(metadata=["a"]), "items.3.metadata"),
        (message(metadata={"a": 1}), "items.3.metadata.a"),
    ],
)
def test_invalid_shape_is_refused_with_its_path(item: Any, param: str) -> None:
    assert refusal(item).param == param


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["", "tool", "message", "a"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "role",
                        "content",
                        "text",
                        "name",
                        "id",
                        "call_id",
                        "tool_calls",
                        "tool_call_id",
                        "function",
                        "function_call",
                        "output",
                        "refusal",
                        "audio",
                        "metadata",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["message", "function_call", "custom_tool_call_output", "reasoning"]),
    st.sampled_from(["user", "assistant", "tool", "function"]),
)
def test_accepted_items_can_be_shown_and_put_in_a_prompt(value: Any, kind: str, role: str) -> None:
    item = {"type": kind, "role": role, **value} if isinstance(value, dict) else value
    try:
        turn = make_turn(item)
    except InvalidRequest:
        return
    assert show_item(turn, LIMITS.max_nesting)["id"] == turn.id
    roles = {sent["role"] for group in message_groups([turn]) for sent in group.messages}
    assert roles <= {turn.role, "assistant"}


def test_text_over_the_limit_is_refused() -> None:
    limits = ItemLimits(max_text_chars=10, max_nesting=64)
    assert parse_item(message("x" * 10), "{}", {}, limits, "item").text == "x" * 10
    with pytest.raises(InvalidRequest, match="11 characters; 10 are allowed"):
        parse_item(message("x" * 11), "{}", {}, limits, "item")


def test_name_of_a_message_is_its_speaker() -> None:
    assert new_turn(message(name=" Anna ")).name == "Anna"


def test_blank_name_is_none() -> None:
    assert new_turn(message(name=" ")).name is None


@pytest.mark.parametrize(
    "item", [function_call(), {"type": "mcp_call", "name": "run", "arguments": "{}"}]
)
def test_name_of_a_function_is_not_a_speaker(item: dict[str, Any]) -> None:
    assert new_turn(item).name is None


def test_stored_as_overrides_the_items_fields() -> None:
    item = message(id="old", name="Bob", created_at=5, metadata={"a": "1"})
    turn = new_turn(
        item, id="new", name="Anna", created_at="1970-01-01T01:00:09+01:00", metadata={}
    )
    assert (turn.id, turn.name, turn.metadata) == ("new", "Anna", {})
    assert (turn.created_at, turn.utc_offset_minutes) == (9 * MICROSECONDS, 60)


def test_stored_as_names_the_speaker_of_a_tool_call() -> None:
    assert new_turn(function_call(), name="Anna").name == "Anna"


def test_item_without_a_time() -> None:
    assert new_turn(message()).created_at is None


def test_raw_text_is_kept_as_it_was_sent() -> None:
    raw = '{ "role":"user",\n "content":"\\u0041" }'
    assert new_turn(json.loads(raw), raw=raw).raw == raw
