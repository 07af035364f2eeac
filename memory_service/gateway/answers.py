"""Collect the answer of a model from its body or its stream, while it is passed on. Pure.

The upstream is not trusted: data without the expected form is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_service.items.chat_messages import Message
from memory_service.tokens.slices import well_formed

DONE = b"data: [DONE]"
"""The event that ends a complete stream."""

_TEXT_FIELDS = ("content", "refusal")
_CALL_KINDS = ("function", "custom")
_MAX_CALLS = 1_024


@dataclass(slots=True)
class _ChoiceCollector:
    """The part of one choice of an answer that has arrived."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    function: dict[str, str] = field(default_factory=dict)
    audio_id: str | None = None
    parts: list[Any] = field(default_factory=list)
    is_finished: bool = False

    def add(self, delta: Mapping[str, Any]) -> None:
        """Add a delta of a stream, or a whole message."""
        for name in _TEXT_FIELDS:
            if isinstance(delta.get(name), str):
                self.texts.setdefault(name, []).append(delta[name])
        if isinstance(delta.get("content"), list):
            self.parts += delta["content"]
        for position, call in enumerate(_mappings(delta.get("tool_calls"))[:_MAX_CALLS]):
            index = call.get("index", position)
            key = index if isinstance(index, int) else position
            _extend_call(self.calls.setdefault(key, {}), call)
        if isinstance(delta.get("function_call"), Mapping):
            _extend_texts(self.function, delta["function_call"])
        audio = delta.get("audio")
        if isinstance(audio, Mapping) and isinstance(audio.get("id"), str):
            self.audio_id = audio["id"]

    def message(self) -> dict[str, Any] | None:
        """Return the assistant's message as a client can send it again; None if it is empty."""
        texts = {name: storable("".join(pieces)) for name, pieces in self.texts.items()}
        calls = [_call(call) for _, call in sorted(self.calls.items()) if _is_whole(call)]
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
        self._partial_line = b""
        self._is_done = False
        self.prompt_tokens: int | None = None

    def feed(self, chunk: bytes) -> None:
        """Add bytes of an event stream, which may be split anywhere."""
        *lines, self._partial_line = (self._partial_line + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._add_event(line[5:].strip())

    def take_body(self, content: bytes) -> None:
        """Add the body of an answer that is not a stream."""
        self._is_done = True
        self._add_completion(_parsed(content), "message")

    @property
    def is_complete(self) -> bool:
        """Whether the whole answer has arrived."""
        finished = [choice.is_finished for choice in self._choices.values()]
        return self._is_done or (bool(finished) and all(finished))

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages of the choices in their order, without empty ones."""
        messages = (choice.message() for _, choice in sorted(self._choices.items()))
        return [message for message in messages if message is not None]

    def _add_event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._is_done = True
        else:
            self._add_completion(_parsed(data), "delta")

    def _add_completion(self, completion: Any, field_name: str) -> None:
        """Add a completion whose choices have their content in a field."""
        if not isinstance(completion, Mapping):
            return
        usage = completion.get("usage")
        if isinstance(usage, Mapping) and type(usage.get("prompt_tokens")) is int:
            self.prompt_tokens = usage["prompt_tokens"]
        for position, choice in enumerate(_mappings(completion.get("choices"))):
            index = choice.get("index", position)
            key = index if isinstance(index, int) else position
            collector = self._choices.setdefault(key, _ChoiceCollector())
            if choice.get("finish_reason") is not None:
                collector.is_finished = True
            if isinstance(choice.get(field_name), Mapping):
                collector.add(choice[field_name])


def split_at_done(chunk: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of a chunk before the end event of the stream, and the rest."""
    position = chunk.find(DONE)
    return (chunk, b"") if position < 0 else (chunk[:position], chunk[position:])


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
