"""Collect the answer of a model from its body or its stream, while it is passed on. Pure.

A message is collected with every field that the upstream sent, known or not, so that it can be sent
again. The upstream is not trusted: data without the expected form is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_service.gateway.event_stream import DONE
from memory_service.items.chat_messages import OUR_FIELDS, Message
from memory_service.items.deltas import added, plain
from memory_service.items.item_text import is_reasoning

_CALL_KINDS = ("function", "custom")
_MAX_CALLS = 1_024
# The sound itself is not stored: it is large, and a model is sent its id or its transcript.
_SOUND = "data"


@dataclass(slots=True)
class _CallCollector:
    """The part of one tool call that has arrived."""

    index: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece: its id, and the fields of its function or custom tool."""
        if isinstance(piece.get("index"), int):
            self.index = piece["index"]
        self.fields = added(self.fields, {k: v for k, v in piece.items() if k != "index"})

    def continues_with(self, piece: Mapping[str, Any]) -> bool:
        """Return whether a piece belongs to this call, the latest that it can belong to."""
        call_id, index = piece.get("id"), piece.get("index")
        own_id = plain(self.fields.get("id"))
        if call_id and own_id and isinstance(call_id, str) and isinstance(own_id, str):
            return call_id == own_id
        if isinstance(index, int):
            return index == self.index
        begins_call = any(
            isinstance(piece.get(kind), Mapping) and piece[kind].get("name") for kind in _CALL_KINDS
        )
        return not begins_call


@dataclass(slots=True)
class _ChoiceCollector:
    """The part of one choice of an answer that has arrived."""

    fields: dict[str, Any] = field(default_factory=dict)
    calls: list[_CallCollector] = field(default_factory=list)
    is_finished: bool = False

    def add_message(self, message: Mapping[str, Any]) -> None:
        """Add a whole message: each of its tool calls is a call of its own."""
        for piece in _mappings(message.get("tool_calls"))[:_MAX_CALLS]:
            self.calls.append(_CallCollector())
            self.calls[-1].add(piece)
        self.add({name: value for name, value in message.items() if name != "tool_calls"})

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add a delta of a stream."""
        for piece in _mappings(delta.get("tool_calls"))[:_MAX_CALLS]:
            self._call_of(piece).add(piece)
        self.fields = added(self.fields, {k: v for k, v in delta.items() if k != "tool_calls"})

    def _call_of(self, piece: Mapping[str, Any]) -> _CallCollector:
        """Return the call that a piece continues, or a new one.

        Servers identify the call of a piece by its index, by its id, or by neither: then a piece
        with a name begins a call. Some give every call the index 0.
        """
        for call in reversed(self.calls):
            if call.continues_with(piece):
                return call
        if len(self.calls) < _MAX_CALLS:
            self.calls.append(_CallCollector())
        return self.calls[-1]

    def message(self) -> dict[str, Any] | None:
        """Return the assistant's message as a client can send it again; None if it is empty.

        Reasoning alone is no answer.
        """
        fields = plain(self.fields)
        answer = {
            "content": _content(fields.get("content")),
            "refusal": _text_or_none(fields.get("refusal")),
            "tool_calls": self._calls(),
            "function_call": _function(fields.get("function_call")),
            "audio": _audio(fields.get("audio")),
        }
        if not any(_is_answer(value) for value in answer.values()):
            return None
        vendor_fields = {
            name: value
            for name, value in fields.items()
            if name not in answer and name not in _NOT_STORED and value not in _EMPTY
        }
        given = {name: value for name, value in answer.items() if value}
        return {"role": "assistant", "content": None, **given, **vendor_fields}

    def _calls(self) -> list[dict[str, Any]]:
        ordered = sorted(self.calls, key=lambda call: -1 if call.index is None else call.index)
        calls = [_call(plain(call.fields)) for call in ordered]
        return [call for call in calls if call is not None]


# The upstream's own fields, which name a message.
_NOT_STORED = frozenset({"role", *OUR_FIELDS})
_EMPTY: tuple[object, ...] = (None, "", [], {})


class AnswerCollector:
    """Collects the choices of an answer, and the tokens that the upstream counted."""

    def __init__(self) -> None:
        self._choices: dict[int, _ChoiceCollector] = {}
        self._is_done = False
        self._has_failed = False
        self.prompt_tokens: int | None = None

    def add_events(self, events: Iterable[bytes]) -> None:
        """Add the data of events of a stream."""
        for data in events:
            if data == DONE:
                self._is_done = True
            else:
                self._add_completion(_parsed(data), "delta")

    def take_body(self, content: bytes) -> None:
        """Add the body of an answer that is not a stream."""
        self._is_done = True
        self._add_completion(_parsed(content), "message")

    @property
    def is_complete(self) -> bool:
        """Whether the whole answer has arrived, without an error of the upstream in it."""
        if self._has_failed:
            return False
        finished = [choice.is_finished for choice in self._choices.values()]
        return self._is_done or (bool(finished) and all(finished))

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages of the choices in their order, without empty ones."""
        messages = (choice.message() for _, choice in sorted(self._choices.items()))
        return [message for message in messages if message is not None]

    def _add_completion(self, completion: Any, field_name: str) -> None:
        """Add a completion whose choices have their content in a field."""
        if not isinstance(completion, Mapping):
            return
        self._has_failed = self._has_failed or bool(completion.get("error"))
        usage = completion.get("usage")
        if isinstance(usage, Mapping) and type(usage.get("prompt_tokens")) is int:
            self.prompt_tokens = usage["prompt_tokens"]
        for position, choice in enumerate(_mappings(completion.get("choices"))):
            index = choice.get("index", position)
            key = index if isinstance(index, int) else position
            collector = self._choices.setdefault(key, _ChoiceCollector())
            if choice.get("finish_reason") is not None:
                collector.is_finished = True
            content = choice.get(field_name)
            if isinstance(content, Mapping):
                collector.add(content) if field_name == "delta" else collector.add_message(content)


def incomplete(message: Message) -> dict[str, Any]:
    """Return a message that was interrupted, marked as such."""
    return {**message, "status": "incomplete"}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    elements = value if isinstance(value, list) else []
    return [element for element in elements if isinstance(element, Mapping)]


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_answer(value: Any) -> bool:
    """Return whether a field says something beside reasoning."""
    if isinstance(value, list):
        return any(not is_reasoning(element) for element in value)
    return bool(value)


def _content(value: Any) -> Any:
    """Return a content: a text, or the well-formed parts that some servers send instead."""
    if not isinstance(value, list):
        return _text_or_none(value)
    return [
        part
        for part in _mappings(value)
        if isinstance(part.get("type"), str) and isinstance(part.get("text") or "", str)
    ]


def _call(call: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a whole tool call; None if it has no id or no name."""
    kind = "custom" if isinstance(call.get("custom"), Mapping) else "function"
    function = call.get(kind)
    if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
        return None
    if not (function["name"] and isinstance(call.get("id"), str) and call["id"]):
        return None
    return {"id": call["id"], "type": kind, **_without(call, "id", "type")}


def _function(function: Any) -> dict[str, Any] | None:
    """Return the function call of the older form; None if it has no name."""
    if not (isinstance(function, Mapping) and _text_or_none(function.get("name"))):
        return None
    return {"arguments": "", **function}


def _audio(audio: Any) -> dict[str, Any] | None:
    """Return a spoken answer without its sound: its id, its transcript, and when it expires."""
    if not isinstance(audio, Mapping):
        return None
    names = ("id", "transcript")
    texts = {name: audio[name] for name in names if _text_or_none(audio.get(name))}
    return {**_without(audio, _SOUND, *names), **texts} if texts else None


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
