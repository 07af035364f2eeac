"""Answers are collected from bodies and streams, however their bytes are split."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.gateway.answers import AnswerCollector
from memory_service.gateway.event_stream import EventStreamReader
from tests.support.upstream import Reply, Upstream, calls, says


def streamed(reply: Reply) -> bytes:
    """Return the bytes that the stand-in sends for a reply."""

    async def collect() -> bytes:
        chunks = Upstream()._stream({"stream_options": {"include_usage": True}}, reply, USAGE)  # noqa: SLF001 - its bytes, without a socket
        return b"".join([chunk async for chunk in chunks])

    return asyncio.run(collect())


def collected(*chunks: bytes) -> AnswerCollector:
    """Return the answer of a stream that arrives in chunks."""
    reader, collector = EventStreamReader(), AnswerCollector()
    for chunk in chunks:
        collector.add_events(reader.feed(chunk).events)
    collector.add_events(reader.finish().events)
    return collector


def event(content: Any) -> bytes:
    """Return an event of a stream."""
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def tool_call_stream(*pieces: dict[str, Any]) -> bytes:
    """Return a stream with one tool call piece a chunk."""
    return b"".join(event({"choices": [{"delta": {"tool_calls": [piece]}}]}) for piece in pieces)


USAGE = {"prompt_tokens": 42}
TWO_CALLS = calls(("look_up", {"city": "Ålesund"}), ("look_up", {"city": "Rome"}), content="Hm")
STREAM = streamed(TWO_CALLS({}))
CHOICES = streamed(says("first", "zweite Antwort", "trois")({}))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_answer_does_not_depend_on_chunk_borders(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    whole = collected(STREAM)
    pieces = collected(*(STREAM[start:end] for start, end in pairwise(places)))
    assert pieces.messages() == whole.messages() != []
    assert (pieces.is_complete, pieces.prompt_tokens) == (True, 42)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_answer_does_not_depend_on_line_ends(line_end: bytes) -> None:
    stream = b"\xef\xbb\xbf" + STREAM.replace(b"\n", line_end)
    singly = (stream[place : place + 1] for place in range(len(stream)))
    assert collected(*singly).messages() == collected(STREAM).messages()


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_all_bytes_are_passed_on_and_the_last_event_as_a_whole(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = EventStreamReader()
    pieces = [reader.feed(STREAM[start:end]) for start, end in pairwise(places)]
    pieces.append(reader.finish())
    assert b"".join(piece.before_end for piece in pieces) == STREAM.removesuffix(LAST_EVENT)
    assert b"".join(piece.end for piece in pieces) == LAST_EVENT


LAST_EVENT = b"data: [DONE]\n\n"


def test_end_event_inside_a_text_is_text() -> None:
    text = "The stream ends with data: [DONE]\n\ndata: [DONE]"
    stream = event({"choices": [{"delta": {"content": text}}]}) + event(
        {"choices": [{"delta": {"content": "."}, "finish_reason": "stop"}]}
    )
    answers = collected(stream + LAST_EVENT)
    assert answers.messages()[0]["content"] == f"{text}."
    assert answers.is_complete


def test_data_of_several_lines_is_one_event() -> None:
    answers = collected(b'data: {"choices": [{"delta":\ndata:  {"content": "two lines"}}]}\n\n')
    assert answers.messages()[0]["content"] == "two lines"


def test_last_event_without_empty_line_counts() -> None:
    answers = collected(event({"choices": [{"delta": {"content": "whole"}}]})[:-2])
    assert answers.messages()[0]["content"] == "whole"


def test_error_event_makes_answer_incomplete() -> None:
    text = event({"choices": [{"delta": {"content": "half"}, "finish_reason": "stop"}]})
    answers = collected(text + event({"error": {"message": "overloaded"}}) + LAST_EVENT)
    assert answers.messages()[0]["content"] == "half"
    assert not answers.is_complete


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": ""}, **fields}


def argument(text: str, **fields: Any) -> dict[str, Any]:
    return {"function": {"arguments": text}, **fields}


CALL_STREAMS = {
    "indices": [
        named("a", id="1", index=0),
        argument("x", index=0),
        named("b", id="2", index=1),
        argument("y", index=1),
    ],
    "every index 0": [
        named("a", id="1", index=0),
        argument("x", index=0),
        named("b", id="2", index=0),
        argument("y", index=0),
    ],
    "ids only": [named("a", id="1"), argument("x"), named("b", id="2"), argument("y")],
    "ids in every piece": [
        named("a", id="1"),
        argument("x", id="1"),
        named("b", id="2"),
        argument("y", id="2"),
    ],
    "mixed order": [
        named("a", id="1", index=0),
        named("b", id="2", index=1),
        argument("y", index=1),
        argument("x", index=0),
    ],
}


@pytest.mark.parametrize("pieces", CALL_STREAMS.values(), ids=CALL_STREAMS)
def test_two_tool_calls_are_not_merged(pieces: list[dict[str, Any]]) -> None:
    (message,) = collected(tool_call_stream(*pieces)).messages()
    made = [(call["id"], call["function"]) for call in message["tool_calls"]]
    assert made == [
        ("1", {"name": "a", "arguments": "x"}),
        ("2", {"name": "b", "arguments": "y"}),
    ]


def test_tool_calls_of_whole_message_without_ids_of_their_own_are_separate() -> None:
    answers = AnswerCollector()
    calls_made = [named("a", id="1"), named("b", id="2")]
    body = {"choices": [{"message": {"role": "assistant", "tool_calls": calls_made}}]}
    answers.take_body(json.dumps(body).encode())
    (message,) = answers.messages()
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["a", "b"]


@given(st.integers(0, len(CHOICES)))
def test_interrupted_stream_is_incomplete_prefix(end: int) -> None:
    collector = collected(CHOICES[:end])
    messages = [message["content"] for message in collector.messages()]
    whole = ["first", "zweite Antwort", "trois"]
    assert all(full.startswith(part) for part, full in zip(messages, whole, strict=False))
    assert collector.is_complete or messages != whole or b"[DONE]" not in CHOICES[:end]


def test_partial_tool_call_is_kept_if_it_has_a_name() -> None:
    answers = collected(STREAM[: STREAM.index(b"Rome")])
    tool_calls = answers.messages()[0]["tool_calls"]
    assert json.loads(tool_calls[0]["function"]["arguments"]) == {"city": "Ålesund"}
    assert [call["id"] for call in tool_calls] == sorted(call["id"] for call in tool_calls)


@given(st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), st.lists(st.none())))
def test_arbitrary_bytes_are_ignored(content: bytes) -> None:
    answers = collected(b"data: " + content + b"\n\n")
    answers.take_body(content)
    assert answers.messages() == []


MALFORMED_CALLS = [
    [{"function": "a text"}, {"function": {"name": "look_up"}}],
    [{"function": {"name": {}}}, {"function": {"name": "look_up"}}],
    [{"function": {"name": "look_up", "arguments": {"a": 1}}}, {"function": {"arguments": "{}"}}],
    [{"id": {"a": "b"}, "function": {"name": "look_up"}}],
    [{"function": {"name": "look_up"}, "custom": "a text"}],
]


@pytest.mark.parametrize("deltas", MALFORMED_CALLS)
def test_malformed_parts_of_tool_calls_are_ignored(deltas: list[Any]) -> None:
    pieces = ({"index": 0, **delta} for delta in [*deltas, {"id": "c1"}])
    (message,) = collected(tool_call_stream(*pieces)).messages()
    (call,) = message["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("c1", "look_up")
