"""Collect the answer of a model from its body or its stream, while it is passed on. Pure.

The upstream is not trusted: data without the expected form is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_service.gateway.event_stream import DONE
from memory_service.items.chat_messages import Message
from memory_service.tokens.slices import well_formed

_TEXT_FIELDS = ("content", "refusal")
_CALL_KINDS = ("function", "custom")
_MAX_CALLS = 1_024


@dataclass(slots=True)
class _CallCollector:
    """The part of one tool call that has arrived."""

    index: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece: its id, and the fields of its function or custom tool."""
        if isinstance(piece.get("index"), int):
            self.index = piece["index"]
        _extend_call(self.fields, piece)

    def continues_with(self, piece: Mapping[str, Any]) -> bool:
        """Return whether a piece belongs to this call, the latest that it can belong to."""
        call_id, index = piece.get("id"), piece.get("index")
        if call_id and self.fields.get("id"):
            return bool(call_id == self.fields["id"])
        if isinstance(index, int):
            return index == self.index
        begins_call = any(
            isinstance(piece.get(kind), Mapping) and piece[kind].get("name") for kind in _CALL_KINDS
        )
        return not begins_call


@dataclass(slots=True)
class _ChoiceCollector:
    """The part of one choice of an answer that has arrived."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    calls: list[_CallCollector] = field(default_factory=list)
    function: dict[str, str] = field(default_factory=dict)
    audio_id: str | None = None
    parts: list[Any] = field(default_factory=list)
    is_finished: bool = False

    def add_message(self, message: Mapping[str, Any]) -> None:
        """Add a whole message: each of its tool calls is a call of its own."""
        for piece in _mappings(message.get("tool_calls"))[:_MAX_CALLS]:
            self.calls.append(_CallCollector())
            self.calls[-1].add(piece)
        self.add({name: value for name, value in message.items() if name != "tool_calls"})

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add a delta of a stream."""
        for name in _TEXT_FIELDS:
            if isinstance(delta.get(name), str):
                self.texts.setdefault(name, []).append(delta[name])
        if isinstance(delta.get("content"), list):
            self.parts += delta["content"]
        for piece in _mappings(delta.get("tool_calls"))[:_MAX_CALLS]:
            self._call_of(piece).add(piece)
        if isinstance(delta.get("function_call"), Mapping):
            _extend_texts(self.function, delta["function_call"])
        audio = delta.get("audio")
        if isinstance(audio, Mapping) and isinstance(audio.get("id"), str):
            self.audio_id = audio["id"]

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
        """Return the assistant's message as a client can send it again; None if it is empty."""
        texts = {name: storable("".join(pieces)) for name, pieces in self.texts.items()}
        ordered = sorted(self.calls, key=lambda call: -1 if call.index is None else call.index)
        calls = [_call(call.fields) for call in ordered if _is_whole(call.fields)]
        message: dict[str, Any] = {"role": "assistant", "content": texts.get("content") or None}
        if self.parts:
            message["content"] = _text_parts(self.parts) or None
        if texts.get("refusal"):
            message["refusal"] = texts["refusal"]
        if calls:
            message["tool_calls"] = calls
        if self.function.get("name"):
            message["function_call"] = _function(self.function)
        if self.audio_id:
            message["audio"] = {"id": self.audio_id}
        return message if len(message) > 2 or message["content"] else None


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


def storable(text: str) -> str:
    """Return a text that the log can hold: models send NUL and halves of surrogate pairs."""
    return well_formed(text).replace("\x00", "\ufffd")


def incomplete(message: Message) -> dict[str, Any]:
    """Return a message that was interrupted, marked as such."""
    return {**message, "status": "incomplete"}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    elements = value if isinstance(value, list) else []
    return [element for element in elements if isinstance(element, Mapping)]


def _extend_call(call: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece to a tool call: its id, and the fields of its function or custom tool."""
    _extend_texts(call, {"id": piece.get("id")})
    for kind in _CALL_KINDS:
        if isinstance(piece.get(kind), Mapping):
            _extend_texts(call.setdefault(kind, {}), piece[kind])


def _extend_texts(texts: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add the texts of a piece: arguments arrive in pieces, every other field once."""
    for name, value in piece.items():
        if not isinstance(value, str):
            continue
        if name in ("arguments", "input"):
            texts[name] = texts.get(name, "") + value
        elif value:
            texts.setdefault(name, value)


def _is_whole(call: Mapping[str, Any]) -> bool:
    return bool(call.get("id") and call.get(_call_kind(call), {}).get("name"))


def _call_kind(call: Mapping[str, Any]) -> str:
    return "custom" if call.get("custom") else "function"


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    kind = _call_kind(call)
    fields = {name: storable(text) for name, text in call[kind].items()}
    return {"id": storable(call["id"]), "type": kind, kind: fields}


def _function(function: Mapping[str, str]) -> dict[str, str]:
    return {name: storable(function.get(name, "")) for name in ("name", "arguments")}


def _text_parts(parts: Sequence[Any]) -> list[dict[str, str]]:
    """Return the texts of a content that is a list of parts, as some servers send it."""
    return [
        {"type": "text", "text": storable(part["text"])}
        for part in _mappings(list(parts))
        if part.get("type") == "text" and isinstance(part.get("text"), str)
    ]
