"""A model's answer, read beside the caller: the messages that its chunks add up to. Pure.

Nothing here trusts the upstream: what is not shaped as it should be is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memory_service.items.chat_messages import Message
from memory_service.tokens.slices import well_formed

DONE = b"data: [DONE]"
"""How a stream says that it is complete."""

_TEXTS = ("content", "refusal")
_MAX_CALLS = 1_024


@dataclass(slots=True)
class _Choice:
    """One choice, as far as it has come."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    function: dict[str, Any] = field(default_factory=dict)
    audio: Any = None
    parts: list[Any] | None = None
    finished: bool = False

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take in a delta, or a whole message."""
        for name in _TEXTS:
            if isinstance(delta.get(name), str):
                self.texts.setdefault(name, []).append(delta[name])
        if isinstance(delta.get("content"), list):
            self.parts = [*(self.parts or ()), *delta["content"]]
        for place, call in enumerate(_mappings(delta.get("tool_calls"))[:_MAX_CALLS]):
            index = call.get("index", place)
            _extend(self.calls.setdefault(index if isinstance(index, int) else place, {}), call)
        if isinstance(delta.get("function_call"), Mapping):
            _extend(self.function, delta["function_call"])
        audio = delta.get("audio")
        if isinstance(audio, Mapping) and isinstance(audio.get("id"), str):
            self.audio = {"id": audio["id"]}

    def message(self) -> dict[str, Any] | None:
        """Return the assistant's message as it can be sent again; None if nothing was said."""
        said = {name: storable("".join(pieces)) for name, pieces in self.texts.items()}
        calls = [_call(call) for _, call in sorted(self.calls.items()) if _is_whole(call)]
        message: dict[str, Any] = {"role": "assistant", "content": said.get("content") or None}
        if self.parts:
            message["content"] = _text_parts(self.parts) or None
        if said.get("refusal"):
            message["refusal"] = said["refusal"]
        if calls:
            message["tool_calls"] = calls
        if self.function.get("name"):
            message["function_call"] = _function(self.function)
        if self.audio:
            message["audio"] = self.audio
        return message if len(message) > 2 or message["content"] else None


class Answers:
    """Collects the choices of one answer, and what the upstream says it counted."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._rest = b""
        self._done = False
        self.prompt_tokens: int | None = None

    def feed(self, chunk: bytes) -> None:
        """Take in bytes of an event stream, cut anywhere."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())

    def whole(self, content: bytes) -> None:
        """Take in the body of an answer that is not streamed."""
        self._done = True
        self._take(_parsed(content), "message")

    @property
    def is_complete(self) -> bool:
        """Whether the answer has come to its end."""
        finished = bool(self._choices) and all(one.finished for one in self._choices.values())
        return self._done or finished

    def messages(self) -> list[dict[str, Any]]:
        """Return what the choices say, by index, without those that say nothing."""
        made = (choice.message() for _, choice in sorted(self._choices.items()))
        return [message for message in made if message is not None]

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._done = True
        else:
            self._take(_parsed(data), "delta")

    def _take(self, value: Any, field_name: str) -> None:
        if not isinstance(value, Mapping):
            return
        usage = value.get("usage")
        if isinstance(usage, Mapping) and type(usage.get("prompt_tokens")) is int:
            self.prompt_tokens = usage["prompt_tokens"]
        for place, choice in enumerate(_mappings(value.get("choices"))):
            index = choice.get("index", place)
            kept = self._choices.setdefault(index if isinstance(index, int) else place, _Choice())
            kept.finished = kept.finished or choice.get("finish_reason") is not None
            if isinstance(choice.get(field_name), Mapping):
                kept.add(choice[field_name])


def before_done(chunk: bytes) -> tuple[bytes, bytes]:
    """Return what of a chunk comes before the end of the stream is said, and the rest."""
    place = chunk.find(DONE)
    return (chunk, b"") if place < 0 else (chunk[:place], chunk[place:])


def storable(text: str) -> str:
    """Return a text that the log can hold: models do send NUL, and halves of surrogate pairs."""
    return well_formed(text).replace("\x00", "\ufffd")


def incomplete(message: Message) -> dict[str, Any]:
    """Return a message that was broken off, marked as such."""
    return {**message, "status": "incomplete"}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _extend(kept: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of a call: arguments grow, everything else comes once."""
    for name, value in piece.items():
        if isinstance(value, Mapping):
            _extend(kept.setdefault(name, {}), value)
        elif name in ("arguments", "input") and isinstance(value, str):
            kept[name] = kept.get(name, "") + value
        elif isinstance(value, str) and value:
            kept.setdefault(name, value)


def _is_whole(call: Mapping[str, Any]) -> bool:
    function = call.get("function") or call.get("custom")
    return bool(call.get("id")) and isinstance(function, Mapping) and bool(function.get("name"))


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    kind = "custom" if "custom" in call else "function"
    return {
        "id": storable(call["id"]),
        "type": kind,
        kind: {name: storable(said) for name, said in call[kind].items() if isinstance(said, str)},
    }


def _function(function: Mapping[str, Any]) -> dict[str, str]:
    return {name: storable(str(function.get(name) or "")) for name in ("name", "arguments")}


def _text_parts(parts: Sequence[Any]) -> list[dict[str, str]]:
    """Return the texts of a content that some servers send in parts."""
    return [
        {"type": "text", "text": storable(part["text"])}
        for part in _mappings(list(parts))
        if part.get("type") == "text" and isinstance(part.get("text"), str)
    ]
