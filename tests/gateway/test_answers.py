"""Answers are collected from bodies and streams, however their bytes are split."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.gateway.answers import AnswerCollector, split_at_done
from tests.support.upstream import Reply, Upstream, calls, says


def streamed(reply: Reply) -> bytes:
    """Return the bytes that the stand-in sends for a reply."""

    async def collect() -> bytes:
        chunks = Upstream()._stream({"stream_options": {"include_usage": True}}, reply, USAGE)  # noqa: SLF001 - its bytes, without a socket
        return b"".join([chunk async for chunk in chunks])

    return asyncio.run(collect())


USAGE = {"prompt_tokens": 42}
TWO_CALLS = calls(("look_up", {"city": "Ålesund"}), ("look_up", {"city": "Rome"}), content="Hm")
STREAM = streamed(TWO_CALLS({}))
CHOICES = streamed(says("first", "zweite Antwort", "trois")({}))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_answer_does_not_depend_on_chunk_borders(cuts: list[int]) -> None:
    whole, pieces = AnswerCollector(), AnswerCollector()
    whole.feed(STREAM)
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(places):
        pieces.feed(STREAM[start:end])
    assert pieces.messages() == whole.messages() != []
    assert (pieces.is_complete, pieces.prompt_tokens) == (True, 42)


@given(st.integers(0, len(CHOICES)))
def test_interrupted_stream_is_incomplete_prefix(end: int) -> None:
    collector = AnswerCollector()
    collector.feed(CHOICES[:end])
    messages = [message["content"] for message in collector.messages()]
    whole = ["first", "zweite Antwort", "trois"]
    assert all(full.startswith(part) for part, full in zip(messages, whole, strict=False))
    assert collector.is_complete or messages != whole or b"[DONE]" not in CHOICES[:end]


def test_partial_tool_call_is_kept_if_it_has_a_name() -> None:
    answers = AnswerCollector()
    answers.feed(STREAM[: STREAM.index(b"Rome")])
    tool_calls = answers.messages()[0]["tool_calls"]
    assert json.loads(tool_calls[0]["function"]["arguments"]) == {"city": "Ålesund"}
    assert [call["id"] for call in tool_calls] == sorted(call["id"] for call in tool_calls)


@given(st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), st.lists(st.none())))
def test_arbitrary_bytes_are_ignored(content: bytes) -> None:
    answers = AnswerCollector()
    answers.feed(b"data: " + content + b"\n\n")
    answers.take_body(content)
    assert answers.messages() == []


def test_split_at_end_of_stream() -> None:
    messages, end = split_at_done(STREAM)
    assert messages + end == STREAM
    assert end == b"data: [DONE]\n\n"


MALFORMED_CALLS = [
    [{"function": "a text"}, {"function": {"name": "look_up"}}],
    [{"function": {"name": {}}}, {"function": {"name": "look_up"}}],
    [{"function": {"name": "look_up", "arguments": {"a": 1}}}, {"function": {"arguments": "{}"}}],
    [{"id": {"a": "b"}, "function": {"name": "look_up"}}],
    [{"function": {"name": "look_up"}, "custom": "a text"}],
]


@pytest.mark.parametrize("deltas", MALFORMED_CALLS)
def test_malformed_parts_of_tool_calls_are_ignored(deltas: list[Any]) -> None:
    answers = AnswerCollector()
    for delta in [*deltas, {"id": "c1"}]:
        chunk = {"choices": [{"delta": {"tool_calls": [{"index": 0, **delta}]}}]}
        answers.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    (message,) = answers.messages()
    (call,) = message["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("c1", "look_up")
