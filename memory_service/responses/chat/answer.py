"""The answer of a chat completion, as a response. Pure.

The upstream is not trusted: data without the expected form is ignored. Only the first choice is
used; a response has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memory_service.items.deltas import storable
from memory_service.items.fields import new_id
from memory_service.responses.chat.tools import custom_input
from memory_service.responses.objects import (
    Item,
    mappings,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""The fields of a message in which servers of chat completions return reasoning."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_of_completion(
    completion: Mapping[str, Any], response: Mapping[str, Any], custom_tools: frozenset[str]
) -> dict[str, Any]:
    """Return a response, in progress so far, with the answer of a completion."""
    choices = mappings(completion.get("choices"))
    choice = choices[0] if choices else {}
    message = choice.get("message")
    output = output_items(message if isinstance(message, Mapping) else {}, custom_tools)
    answered = with_source(response, completion)
    return finished(answered, output, choice.get("finish_reason"), completion.get("usage"))


def output_items(message: Mapping[str, Any], custom_tools: frozenset[str]) -> list[Item]:
    """Return the output items of a message: reasoning, the message itself, calls."""
    items: list[Item] = []
    reasoning = reasoning_of(message)
    if reasoning:
        items.append(reasoning_item(new_id("rs"), storable(reasoning)))
    parts = _parts(message)
    if parts:
        items.append(message_item(new_id("msg"), parts))
    calls = mappings(message.get("tool_calls"))
    return [*items, *(call_item(new_id("fc"), call, custom_tools) for call in calls)]


def call_item(item_id: str, call: Mapping[str, Any], custom_tools: frozenset[str]) -> Item:
    """Return the item of a tool call; fields that the upstream needs back are kept."""
    function = call.get("function") or call.get("custom")
    function = function if isinstance(function, Mapping) else {}
    name = storable(str(function.get("name") or ""))
    arguments = storable(str(function.get("arguments") or ""))
    extra = {"extra_content": call["extra_content"]} if call.get("extra_content") else {}
    link = storable(str(call.get("id") or new_id("call")))
    head = {"id": item_id, "call_id": link, "name": name, **extra}
    if name in custom_tools or "custom" in call:
        text = storable(str(function.get("input") or "")) or custom_input(arguments)
        return {**head, "type": "custom_tool_call", "input": text, "status": "completed"}
    return {**head, "type": "function_call", "arguments": arguments, "status": "completed"}


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning in a message, or in a delta of one."""
    texts = (message.get(name) for name in REASONING_FIELDS)
    return next((text for text in texts if isinstance(text, str) and text), "")


def annotations_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the citations of a message, in the form of responses."""
    return [
        {"type": "url_citation", **note["url_citation"]}
        for note in mappings(message.get("annotations"))
        if isinstance(note.get("url_citation"), Mapping)
    ]


def with_source(response: Mapping[str, Any], completion: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response with the model and the service tier that the upstream names."""
    names = ("model", "service_tier")
    given = {name: completion[name] for name in names if isinstance(completion.get(name), str)}
    return {**response, **given}


def finished(
    response: Mapping[str, Any], output: Sequence[Item], finish_reason: Any, usage: Any
) -> dict[str, Any]:
    """Return a response that has ended."""
    reason = _INCOMPLETE.get(str(finish_reason))
    return {
        **response,
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": list(output),
        "usage": response_usage(usage),
    }


def response_usage(usage: Any) -> dict[str, Any] | None:
    """Return the tokens of a completion as a response counts them; None if they are unknown."""
    if not isinstance(usage, Mapping) or type(usage.get("prompt_tokens")) is not int:
        return None
    sent, received = usage["prompt_tokens"], _number(usage, "completion_tokens")
    cached = _number(usage.get("prompt_tokens_details"), "cached_tokens")
    reasoning = _number(usage.get("completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": received,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": sent + received,
    }


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    text = _text(message.get("content"))
    if text:
        parts.append(text_part(storable(text), annotations_of(message)))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(refusal_part(storable(refusal)))
    return parts


def _text(content: Any) -> str:
    """Return the text of a content, which some servers send as a list of parts."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in mappings(content))
    return "".join(text for text in texts if isinstance(text, str))


def _number(value: Any, name: str) -> int:
    number = value.get(name) if isinstance(value, Mapping) else None
    return number if isinstance(number, int) else 0
