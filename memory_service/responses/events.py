"""The events of a streamed response, in their order, without their sequence numbers. Pure.

Form: https://developers.openai.com/api/reference/resources/responses/streaming-events. An output
item is added empty, filled by deltas, and done when it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from memory_service.items.strict_json import dumps

Event = dict[str, Any]
Item = Mapping[str, Any]

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""The types of events that end a response."""

ARGUMENT_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
"""The field of a call with the text that arrives in deltas, by the type of the call."""

_ARGUMENT_EVENTS = {
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
_PART_EVENTS = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
}
_EMPTY_FIELDS: Mapping[str, Any] = {"content": [], "summary": [], "arguments": "", "input": ""}


def encoded(event: Event) -> bytes:
    """Return an event as it is sent."""
    text = f"event: {event['type']}\ndata: {dumps(event)}\n\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A delta may have half of a surrogate pair, which JSON can only escape.
        return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def beginning(response: Mapping[str, Any]) -> list[Event]:
    """Return the events that begin a response."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    begun |= {"error": None, "incomplete_details": None}
    return [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]


def ending(response: Mapping[str, Any]) -> Event:
    """Return the event that ends a response."""
    status = response["status"]
    name = status if status in ("incomplete", "failed") else "completed"
    return {"type": f"response.{name}", "response": response}


def item_added(index: int, item: Item) -> Event:
    """Return the event that adds an item, still empty."""
    empty = {
        name: _EMPTY_FIELDS.get(name, value) if value is not None else None
        for name, value in item.items()
    }
    if "status" in item:
        empty["status"] = "in_progress"
    return {"type": "response.output_item.added", "output_index": index, "item": empty}


def item_done(index: int, item: Item) -> Event:
    """Return the event that completes an item."""
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def part_added(index: int, item_id: str, position: int, part: Mapping[str, Any]) -> Event:
    """Return the event that adds a part to a message or to reasoning, still empty."""
    _, name = _PART_EVENTS[part["type"]]
    place = {"item_id": item_id, "output_index": index, "content_index": position}
    return {"type": "response.content_part.added", **place, "part": {**part, name: ""}}


def part_delta(index: int, item_id: str, position: int, kind: str, delta: str) -> Event:
    """Return the event that adds text to a part."""
    place = {"item_id": item_id, "output_index": index, "content_index": position}
    return {"type": f"{_PART_EVENTS[kind][0]}.delta", **place, "delta": delta, **_logprobs(kind)}


def part_done(index: int, item_id: str, position: int, part: Mapping[str, Any]) -> list[Event]:
    """Return the events that complete a part."""
    kind, name = _PART_EVENTS[part["type"]]
    place = {"item_id": item_id, "output_index": index, "content_index": position}
    logprobs = _logprobs(part["type"])
    return [
        {"type": f"{kind}.done", **place, name: part[name], **logprobs},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def argument_delta(index: int, item: Item, delta: str) -> Event:
    """Return the event that adds text to the arguments of a call."""
    place = {"item_id": item["id"], "output_index": index}
    return {"type": f"{_ARGUMENT_EVENTS[item['type']]}.delta", **place, "delta": delta}


def argument_done(index: int, item: Item) -> Event:
    """Return the event that completes the arguments of a call."""
    name = ARGUMENT_FIELDS[item["type"]]
    place = {"item_id": item["id"], "output_index": index}
    return {"type": f"{_ARGUMENT_EVENTS[item['type']]}.done", **place, name: item[name]}


def replay(response: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of a response that is complete."""
    yield from beginning(response)
    for index, item in enumerate(response["output"]):
        yield item_added(index, item)
        yield from _contents(index, item)
        yield item_done(index, item)
    yield ending(response)


def _contents(index: int, item: Item) -> Iterator[Event]:
    """Yield the events that fill an item."""
    if item["type"] in ARGUMENT_FIELDS:
        yield argument_delta(index, item, item[ARGUMENT_FIELDS[item["type"]]])
        yield argument_done(index, item)
    for position, part in enumerate(item.get("summary") or ()):
        yield from _summary_part(index, item, position, part)
    if item["type"] not in ("message", "reasoning"):
        return
    for position, part in enumerate(item.get("content") or ()):
        if part.get("type") in _PART_EVENTS:
            text = part[_PART_EVENTS[part["type"]][1]]
            yield part_added(index, item["id"], position, part)
            yield part_delta(index, item["id"], position, part["type"], text)
            yield from part_done(index, item["id"], position, part)


def _summary_part(
    index: int, item: Item, position: int, part: Mapping[str, Any]
) -> Iterator[Event]:
    place = {"item_id": item["id"], "output_index": index, "summary_index": position}
    kind = "response.reasoning_summary"
    yield {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}}
    yield {"type": f"{kind}_text.delta", **place, "delta": part["text"]}
    yield {"type": f"{kind}_text.done", **place, "text": part["text"]}
    yield {"type": f"{kind}_part.done", **place, "part": part}


def _logprobs(kind: str) -> dict[str, Any]:
    return {"logprobs": []} if kind == "output_text" else {}
