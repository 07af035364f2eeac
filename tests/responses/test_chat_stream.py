"""Streams of chat completions become the events of responses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.gateway.event_stream import EventStreamReader
from memory_service.responses.chat.stream import ChatStreamTranslator
from memory_service.responses.events import Event, replay
from memory_service.responses.objects import new_response
from memory_service.responses.output import OutputCollector
from tests.responses.checking import check_events, check_order, checked_response, without_ids

Delta = Mapping[str, Any]

_BODY = {"model": "m", "input": "hi", "tools": [{"type": "custom", "name": "patch"}]}


def chunk(delta: Delta, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "model": "m-1", "choices": [choice], **fields}


def call(index: int, call_id: str | None, name: str | None, arguments: str) -> Delta:
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    piece: dict[str, Any] = {"index": index, "function": function}
    return {"tool_calls": [piece if call_id is None else {**piece, "id": call_id}]}


def stream(chunks: Sequence[Mapping[str, Any]], *, done: bool = True) -> bytes:
    data = [json.dumps(piece) for piece in chunks] + (["[DONE]"] if done else [])
    return "".join(f"data: {line}\n\n" for line in data).encode()


def translated(*pieces: bytes) -> list[Event]:
    reader = EventStreamReader()
    translator = ChatStreamTranslator(new_response(_BODY, "resp_1", 1), frozenset({"patch"}))
    events = [event for piece in pieces for event in translator.feed(reader.feed(piece).events)]
    events += translator.feed(reader.finish().events)
    if translator.is_complete:
        events += translator.finish()
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def output_of(*chunks: Mapping[str, Any]) -> list[dict[str, Any]]:
    response = check_events(translated(stream(chunks)))
    return [dict(item) for item in response["output"]]


def test_text_is_one_message() -> None:
    events = translated(stream([chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop")]))
    response = check_events(events)
    assert checked_response(response).output_text == "Hello"
    assert response["status"] == "completed"
    assert response["model"] == "m-1"
    assert [event["type"].removeprefix("response.") for event in events] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done", "completed"),
    ]


def test_reasoning_comes_before_the_message() -> None:
    reasoning, message = output_of(
        chunk({"reasoning_content": "Hm. "}), chunk({"reasoning": "Yes."}), chunk({"content": "42"})
    )
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm. Yes."}]
    assert message["content"][0]["text"] == "42"


def test_refusal_is_a_part() -> None:
    (message,) = output_of(chunk({"refusal": "I can"}), chunk({"refusal": "not."}, "stop"))
    assert message["content"] == [{"type": "refusal", "refusal": "I cannot."}]


@pytest.mark.parametrize(
    "deltas",
    [
        [call(0, "a", "f", '{"x"'), call(0, None, None, ":1}"), call(1, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":1}'), call(0, "b", "g", "{}")],
        [
            *(call(0, "a", "f", '{"x"'), call(1, "b", "g", "{")),
            *(call(0, None, None, ":1}"), call(1, None, None, "}")),
        ],
    ],
    ids=["one after the other", "all with index 0", "in turns"],
)
def test_parallel_calls_are_items(deltas: list[Delta]) -> None:
    first, second = output_of(*map(chunk, deltas), chunk({}, "tool_calls"))
    assert (first["call_id"], first["name"], first["arguments"]) == ("a", "f", '{"x":1}')
    assert (second["call_id"], second["name"], second["arguments"]) == ("b", "g", "{}")


def test_call_of_a_custom_tool_has_its_input() -> None:
    (item,) = output_of(
        chunk(call(0, "a", "patch", '{"input":"*** Be')), chunk(call(0, None, None, 'gin"}'))
    )
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** Begin")


def test_fields_of_the_vendor_stay_with_the_call() -> None:
    piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    piece["extra_content"] = {"google": {"thought_signature": "s"}}
    (item,) = output_of(chunk({"tool_calls": [piece]}))
    assert item["extra_content"] == {"google": {"thought_signature": "s"}}


def test_usage_is_counted_as_a_response_counts() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    end = {"choices": [], "usage": usage}
    response = check_events(translated(stream([chunk({"content": "x"}, "stop"), end])))
    counted = checked_response(response).usage
    assert counted is not None
    assert (counted.input_tokens, counted.output_tokens, counted.total_tokens) == (9, 4, 13)
    assert counted.input_tokens_details.cached_tokens == 5
    assert counted.output_tokens_details.reasoning_tokens == 3


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_cut_answer_is_incomplete(finish: str, reason: str) -> None:
    response = check_events(translated(stream([chunk({"content": "x"}, finish)])))
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}


def test_error_in_the_stream_fails_the_response() -> None:
    events = translated(stream([chunk({"content": "x"}), {"error": {"message": "overloaded"}}]))
    response = check_events(events)
    assert events[-1]["type"] == "response.failed"
    assert response["error"]["message"] == "overloaded"


def test_stream_without_end_is_not_complete() -> None:
    events = translated(stream([chunk({"content": "x"})], done=False))
    assert events[-1]["type"] == "response.output_text.delta"


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    (message,) = output_of(chunk({"content": "\ud83d"}), chunk({"content": "\udc4d \ud83d"}))
    assert message["content"][0]["text"].endswith(" \ufffd")


_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
_DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, _TEXT),
    st.builds(lambda text: {"reasoning_content": text}, _TEXT),
    st.builds(lambda text: {"refusal": text}, _TEXT),
    st.builds(
        lambda index, name, text: call(index, f"call_{index}", name, text),
        st.integers(0, 3),
        st.sampled_from(["f", "patch"]),
        _TEXT,
    ),
)


@given(st.lists(_DELTAS, max_size=12), st.data())
def test_any_split_gives_the_same_events(deltas: list[Delta], data: st.DataObject) -> None:
    content = stream([*map(chunk, deltas), chunk({}, "stop")])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    whole, split = translated(content), translated(*pieces)
    check_events(whole)
    assert without_ids(split) == without_ids(whole)


@given(st.lists(_DELTAS, max_size=12))
def test_events_of_a_finished_response_have_its_output(deltas: list[Delta]) -> None:
    response = check_events(translated(stream([*map(chunk, deltas), chunk({}, "stop")])))
    assert check_order(list(replay(response))) == response


@given(st.lists(_DELTAS, min_size=1, max_size=8), st.integers(2, 40))
def test_interrupted_output_is_a_prefix(deltas: list[Delta], length: int) -> None:
    events = translated(stream([*map(chunk, deltas), chunk({}, "stop")]))
    collector = OutputCollector()
    for event in events[: min(length, len(events) - 1)]:
        collector.add(event)
    whole = {
        item["id"]: json.dumps(item, sort_keys=True) for item in events[-1]["response"]["output"]
    }
    for item in collector.items:
        for part in item.get("content") or ():
            text = json.dumps(part.get("text", part.get("refusal")))[1:-1]
            assert text in whole[item["id"]]
