"""The stream of a chat completion, as the events of a streamed response. Pure.

A message or reasoning is complete when something else begins. Calls stay open until the end, since
some servers send the pieces of several calls in turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from memory_service.gateway.event_stream import DONE
from memory_service.items.fields import new_id
from memory_service.responses import events
from memory_service.responses.chat.answer import (
    annotations_of,
    call_item,
    finished,
    reasoning_of,
    with_source,
)
from memory_service.responses.chat.text_pieces import TextPieces
from memory_service.responses.events import Event
from memory_service.responses.objects import (
    Item,
    failed,
    mappings,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)

_MAX_CALLS = 1_024


@dataclass(slots=True)
class _OpenText:
    """A message or reasoning whose text arrives, with the parts that are complete."""

    index: int
    item_id: str
    kind: str = ""
    pieces: TextPieces = field(default_factory=TextPieces)
    parts: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def is_reasoning(self) -> bool:
        return self.item_id.startswith("rs_")

    def part(self) -> dict[str, Any]:
        """Return the part whose text arrives."""
        text = self.pieces.text
        if self.kind == "refusal":
            return refusal_part(text)
        if self.kind == "reasoning_text":
            return {"type": self.kind, "text": text}
        return text_part(text, self.annotations)

    def item(self) -> Item:
        """Return the item with its complete parts."""
        if self.is_reasoning:
            return {**reasoning_item(self.item_id, ""), "content": self.parts}
        return message_item(self.item_id, self.parts)


@dataclass(slots=True)
class _OpenCall:
    """A tool call whose arguments arrive."""

    index: int
    item_id: str
    number: Any
    call: dict[str, Any] = field(default_factory=dict)
    pieces: TextPieces = field(default_factory=TextPieces)

    def is_continued_by(self, piece: Mapping[str, Any]) -> bool:
        """Return whether a piece belongs to this call: by its id, its number, or its lack of both.

        Some servers give every call the number 0, others send no numbers.
        """
        if piece.get("id") and self.call.get("id"):
            return bool(piece["id"] == self.call["id"])
        if isinstance(piece.get("index"), int):
            return bool(piece["index"] == self.number)
        return not _function(piece).get("name")


class ChatStreamTranslator:
    """Translates the chunks of one completion; `response` is the response in progress."""

    def __init__(self, response: Mapping[str, Any], custom_tools: frozenset[str]) -> None:
        self._response = dict(response)
        self._custom_tools = custom_tools
        self._output: dict[int, Item] = {}
        self._size = 0
        self._text: _OpenText | None = None
        self._calls: list[_OpenCall] = []
        self._finish_reason: Any = None
        self._usage: Any = None
        self._has_begun = False
        self._has_ended = False

    def feed(self, data: Iterable[bytes]) -> Iterator[Event]:
        """Yield the events of the data of some events of the completion's stream."""
        for content in data:
            if self._has_ended:
                return
            if content == DONE:
                yield from self.finish()
            else:
                yield from self._chunk(_parsed(content))

    def finish(self) -> Iterator[Event]:
        """Yield the events that end the response; the stream must have been complete."""
        if self._has_ended:
            return
        yield from self._begin()
        yield from self._close_all()
        self._has_ended = True
        output = [self._output[index] for index in sorted(self._output)]
        yield events.ending(finished(self._response, output, self._finish_reason, self._usage))

    @property
    def is_complete(self) -> bool:
        """Whether the upstream has said that the answer is complete."""
        return self._has_ended or self._finish_reason is not None

    def _begin(self) -> Iterator[Event]:
        if not self._has_begun:
            self._has_begun = True
            yield from events.beginning(self._response)

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._has_begun:
            self._response = with_source(self._response, chunk)
        yield from self._begin()
        if chunk.get("error"):
            yield self._failure(chunk["error"])
            return
        if isinstance(chunk.get("usage"), Mapping):
            self._usage = chunk["usage"]
        for choice in mappings(chunk.get("choices")):
            if choice.get("index") in (0, None):
                delta = choice.get("delta")
                yield from self._delta(delta if isinstance(delta, Mapping) else {})
                self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._add_text("reasoning_text", reasoning_of(delta))
        yield from self._add_text("output_text", _plain(delta.get("content")))
        yield from self._add_text("refusal", _plain(delta.get("refusal")))
        if self._text is not None and not self._text.is_reasoning:
            self._text.annotations += annotations_of(delta)
        for piece in mappings(delta.get("tool_calls")):
            yield from self._add_call(piece)

    def _add_text(self, kind: str, text: str) -> Iterator[Event]:
        if not text:
            return
        is_reasoning = kind == "reasoning_text"
        if self._text is not None and self._text.is_reasoning != is_reasoning:
            yield from self._close_text()
        if self._text is None:
            self._text = _OpenText(self._next_index(), new_id("rs" if is_reasoning else "msg"))
            yield events.item_added(self._text.index, self._text.item())
        if self._text.kind != kind:
            yield from self._close_part(self._text)
            self._text.kind = kind
            place = (self._text.index, self._text.item_id, len(self._text.parts))
            yield events.part_added(*place, self._text.part())
        yield from self._text_delta(self._text, self._text.pieces.add(text))

    def _text_delta(self, text: _OpenText, delta: str) -> Iterator[Event]:
        if delta:
            yield events.part_delta(text.index, text.item_id, len(text.parts), text.kind, delta)

    def _add_call(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._close_text()
        call = next((c for c in reversed(self._calls) if c.is_continued_by(piece)), None)
        if call is None:
            if len(self._calls) >= _MAX_CALLS:
                return
            call = _OpenCall(self._next_index(), new_id("fc"), piece.get("index"))
            self._calls.append(call)
            _extend(call.call, piece)
            call.call.setdefault("id", new_id("call"))
            yield events.item_added(call.index, self._item(call))
        else:
            _extend(call.call, piece)
        added = call.pieces.add(_plain(_function(piece).get("arguments")))
        yield from self._argument_delta(call, added)

    def _argument_delta(self, call: _OpenCall, delta: str) -> Iterator[Event]:
        item = self._item(call)
        # The text of a custom tool is known only when its JSON is complete.
        if delta and item["type"] == "function_call":
            yield events.argument_delta(call.index, item, delta)

    def _close_all(self) -> Iterator[Event]:
        yield from self._close_text()
        for call in self._calls:
            yield from self._argument_delta(call, call.pieces.end())
            item = self._item(call)
            self._output[call.index] = item
            if item["type"] == "custom_tool_call":
                yield events.argument_delta(call.index, item, item["input"])
            yield events.argument_done(call.index, item)
            yield events.item_done(call.index, item)
        self._calls = []

    def _close_text(self) -> Iterator[Event]:
        if self._text is None:
            return
        yield from self._close_part(self._text)
        item = self._text.item()
        self._output[self._text.index] = item
        yield events.item_done(self._text.index, item)
        self._text = None

    def _close_part(self, text: _OpenText) -> Iterator[Event]:
        if text.kind:
            yield from self._text_delta(text, text.pieces.end())
            part = text.part()
            yield from events.part_done(text.index, text.item_id, len(text.parts), part)
            text.parts.append(part)
            text.kind, text.pieces, text.annotations = "", TextPieces(), []

    def _item(self, call: _OpenCall) -> Item:
        return call_item(call.item_id, call.call, self._custom_tools)

    def _failure(self, error: Any) -> Event:
        self._has_ended = True
        message = error.get("message") if isinstance(error, Mapping) else error
        output = [self._output[index] for index in sorted(self._output)]
        return events.ending(failed(self._response, str(message), output))

    def _next_index(self) -> int:
        self._size += 1
        return self._size - 1


def _extend(call: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece to a call: arguments arrive in pieces, every other field once."""
    for name, value in piece.items():
        if name not in ("function", "custom", "index") and value:
            call.setdefault(name, value)
    kind = "custom" if isinstance(piece.get("custom"), Mapping) else "function"
    for name, value in _function(piece).items():
        if isinstance(value, str):
            fields = call.setdefault(kind, {})
            is_text = name in ("arguments", "input")
            fields[name] = fields.get(name, "") + value if is_text else fields.get(name) or value


def _function(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    function = piece.get("function") or piece.get("custom")
    return function if isinstance(function, Mapping) else {}


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_plain(part.get("text")) for part in mappings(value))
    return value if isinstance(value, str) else ""


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}
