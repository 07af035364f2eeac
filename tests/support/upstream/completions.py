"""The bytes of the stand-in's answers, in the form of OpenAI: a completion, or its chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.upstream.prompts import word_count
from tests.support.upstream.replies import NUMBERS, Body, CallIndex, Message, Reply

DONE = b"data: [DONE]\n\n"

_PLAIN_FIELDS = ("role", "content", "refusal", "function_call", "tool_calls", "audio")
_TEXT_FIELDS = ("reasoning_content", "content", "refusal")


def usage_of(tokens: int, reply: Reply) -> dict[str, int]:
    """Return the usage of an answer to a prompt of `tokens`."""
    answer_tokens = sum(word_count(message) for message in reply.messages)
    return {
        "prompt_tokens": tokens,
        "completion_tokens": answer_tokens,
        "total_tokens": tokens + answer_tokens,
    }


def completion(body: Body, reply: Reply, usage: Body) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    choices = [
        {"index": n, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        for n, message in enumerate(reply.messages)
    ]
    return {**_head(body, reply, "chat.completion"), "choices": choices, "usage": usage}


def stream_events(body: Body, reply: Reply, usage: Body) -> list[bytes]:
    """Return the events of a stream; the usage is one of them if the request asks for it."""
    options = body.get("stream_options")
    wants_usage = isinstance(options, Mapping) and options.get("include_usage")
    events = [_event(chunk) for chunk in _chunks(body, reply, usage if wants_usage else None)]
    if reply.error_after is not None:
        error = {"message": "The model ran out of memory.", "type": "server_error", "code": 500}
        return [*events[: reply.error_after], _event({"error": error})]
    return [*events, DONE]


def _head(body: Body, reply: Reply, kind: str) -> dict[str, Any]:
    common = {"id": f"chatcmpl-{next(NUMBERS)}", "object": kind, "created": 1_700_000_000}
    return {**common, "model": body.get("model"), **reply.fields}


def _chunks(body: Body, reply: Reply, usage: Body | None) -> Iterator[dict[str, Any]]:
    head = _head(body, reply, "chat.completion.chunk")
    if usage is not None:
        head["usage"] = None
    for index, message in enumerate(reply.messages):
        for delta in _deltas(message, reply.chunk_chars, reply.call_index):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {**head, "choices": [choice]}
        end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reply.finish_reason}
        yield {**head, "choices": [end]}
    if usage is not None:
        yield {**head, "choices": [], "usage": usage}


def _deltas(message: Message, size: int, call_index: CallIndex) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message.get("content") else None}
    for name in _TEXT_FIELDS:
        for piece in _pieces(message.get(name) or "", size):
            yield {name: piece}
    for name in message:
        if name not in {*_PLAIN_FIELDS, *_TEXT_FIELDS}:
            yield {name: message[name]}
    if message.get("function_call"):
        yield {"function_call": {"name": message["function_call"]["name"], "arguments": ""}}
        for piece in _pieces(message["function_call"]["arguments"], size):
            yield {"function_call": {"arguments": piece}}
    for number, call in enumerate(message.get("tool_calls") or ()):
        yield from _call_deltas(number, call, size, call_index)
    if message.get("audio"):
        yield from _audio_deltas(message["audio"], size)


def _call_deltas(
    number: int, call: Message, size: int, call_index: CallIndex
) -> Iterator[dict[str, Any]]:
    """Yield a call in pieces; a server whose index says nothing repeats the call's id."""
    if call_index == "numbered":
        mark, begin = {"index": number}, {"index": number}
    else:
        begin = {} if call_index == "absent" else {"index": 0}
        mark = {**begin, "id": call["id"]}
    empty = {"name": call["function"]["name"], "arguments": ""}
    yield {"tool_calls": [{**begin, **call, "function": empty}]}
    for piece in _pieces(call["function"]["arguments"], size):
        yield {"tool_calls": [{**mark, "function": {"arguments": piece}}]}


def _audio_deltas(audio: Message, size: int) -> Iterator[dict[str, Any]]:
    yield {"audio": {"id": audio["id"], "transcript": ""}}
    for name in ("transcript", "data"):
        for piece in _pieces(audio[name], size):
            yield {"audio": {name: piece}}
    yield {"audio": {"expires_at": audio["expires_at"]}}


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"
