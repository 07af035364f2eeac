"""Checks of responses and of their events: OpenAI's types, and the order of events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import TypeAdapter

Event = Mapping[str, Any]

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_ITEMS: TypeAdapter[Any] = TypeAdapter(ResponseItem)
_DONE_FIELDS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


def checked_response(value: Mapping[str, Any]) -> Response:
    """Return a response after validating it against OpenAI's types."""
    return Response.model_validate(value)


def check_items(items: Iterable[Mapping[str, Any]]) -> None:
    """Validate items against OpenAI's types."""
    for item in items:
        _ITEMS.validate_python(item)


def events_of(content: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream; the name of each must be its type."""
    events = []
    for block in content.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def check_events(events: Sequence[Event]) -> Mapping[str, Any]:
    """Check types, numbers and order of events; return the response that they end with."""
    for event in events:
        _EVENTS.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return check_order(events)


def check_order(events: Sequence[Event]) -> Mapping[str, Any]:
    """Check that items and parts are added, filled and done; return the response at the end."""
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    open_items: dict[int, str] = {}
    texts: dict[tuple[Any, ...], str] = {}
    done: dict[int, Any] = {}
    for event in events[2:-1]:
        kind, index = event["type"], event["output_index"]
        name, _, verb = kind.rpartition(".")
        if kind == "response.output_item.added":
            assert index == len(open_items) + len(done)
            open_items[index] = event["item"]["id"]
        elif kind == "response.output_item.done":
            assert open_items.pop(index) == event["item"]["id"]
            done[index] = event["item"]
        else:
            assert open_items[index] == event["item_id"]
            place = (name, index, event.get("content_index"), event.get("summary_index"))
            if verb == "delta":
                texts[place] = texts.get(place, "") + event["delta"]
            elif name in _DONE_FIELDS:
                assert texts.pop(place, "") == event[_DONE_FIELDS[name]]
    response: Mapping[str, Any] = events[-1]["response"]
    if response["status"] != "failed":
        assert not open_items
        assert not texts
        assert response["output"] == [done[index] for index in sorted(done)]
    return response


def without_ids(value: Any) -> Any:
    """Return a value whose generated ids are numbered by their first occurrence."""
    numbers: dict[str, str] = {}
    counter = count(1)

    def renamed(inner: Any) -> Any:
        if isinstance(inner, Mapping):
            return {
                key: numbers.setdefault(text, f"id-{next(counter)}")
                if key in ("id", "item_id", "call_id") and isinstance(text, str)
                else renamed(text)
                for key, text in inner.items()
            }
        return [renamed(element) for element in inner] if isinstance(inner, list) else inner

    return renamed(value)
