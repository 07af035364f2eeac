"""Tokens of messages, tools and prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.tokens import counting
from memory_service.tokens.counting import count_message, count_messages, count_tools
from tests.support.factories import Words

WORDS = Words()


MESSAGES: dict[str, tuple[dict[str, Any], int]] = {
    "text": ({"role": "user", "content": "one two three"}, 3 + 1 + 3),
    "name": ({"role": "user", "name": "Ann", "content": "one"}, 3 + 1 + 1 + 1 + 1),
    "no content": ({"role": "assistant", "content": None}, 3 + 1),
    "empty content": ({"role": "user", "content": ""}, 3 + 1),
    "text parts": (
        {
            "role": "user",
            "content": [{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}],
        },
        3 + 1 + 3,
    ),
    "unknown part": ({"role": "user", "content": [{"type": "quote"}]}, 3 + 1 + 1),
    "refusal": ({"role": "assistant", "content": None, "refusal": "I will not"}, 3 + 1 + 3),
    "refusal part": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not"}]},
        3 + 1 + 3,
    ),
    "tool calls": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{ 1 }"}}
            ],
        },
        3 + 1 + counting.TOOL_CALL_TOKENS + 1 + 1 + 1 + 3,
    ),
    "function call": (
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{ 1 }"}},
        3 + 1 + counting.TOOL_CALL_TOKENS + 1 + 3,
    ),
    "tool result": ({"role": "tool", "tool_call_id": "c1", "content": "a b"}, 3 + 1 + 1 + 2),
    "earlier sound": (
        {"role": "assistant", "audio": {"id": "a"}},
        3 + 1 + 300,
    ),
    "unknown field": ({"role": "assistant", "reasoning": "a b c"}, 3 + 1 + 3),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_tokens_of_each_kind_of_message(kind: str) -> None:
    message, cost = MESSAGES[kind]
    assert count_message(message, WORDS) == cost


@given(
    st.lists(st.sampled_from([message for message, _ in MESSAGES.values()])),
    st.lists(st.dictionaries(st.text(), st.text() | st.integers())),
)
def test_prompt_tokens_are_the_sum_of_the_parts(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    parts = sum(count_message(message, WORDS) for message in messages)
    expected = counting.PRIMING_TOKENS + count_tools(tools, WORDS) + parts
    assert count_messages(messages, tools, WORDS) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


fields = st.sampled_from(["role", "content", "tool_calls", "function_call", "audio", "name", "x"])


part_kinds = st.sampled_from(["text", "refusal", "image_url", "input_audio", "file", "video"])


@given(st.dictionaries(fields, json_values))
def test_message_of_any_shape_is_counted(message: dict[str, Any]) -> None:
    assert count_message(message, WORDS) >= counting.MESSAGE_TOKENS


@given(part_kinds, json_values)
def test_content_part_of_any_shape_is_counted(kind: str, value: object) -> None:
    message = {"content": [{"type": kind, kind: value}, value]}
    assert count_message(message, WORDS) >= counting.MESSAGE_TOKENS


def test_tools_are_counted_as_compact_unescaped_json() -> None:
    counter = Words()
    tool = {"type": "function", "function": {"name": "wetter", "description": "für heute"}}
    cost = count_tools([tool], counter)
    assert counter.counted_texts == [json.dumps(tool, ensure_ascii=False, separators=(",", ":"))]
    assert cost == counting.TOOLS_TOKENS + counting.TOOL_TOKENS + 2
    assert count_tools([], counter) == count_tools(None, counter) == 0
