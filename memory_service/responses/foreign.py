"""Bodies for the other route, and messages of chat completions as items. Pure.

Some clients send the body of one route to the other. It is translated, and answered in the form of
the route that it was sent to, because that is what such a client reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memory_service.core.errors import InvalidRequest
from memory_service.items.chat_messages import Message
from memory_service.responses.chat.messages import messages_of
from memory_service.responses.chat.request import chat_body
from memory_service.responses.objects import Item, mappings
from memory_service.responses.request import input_items

_RENAMED = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
}
_DROPPED = frozenset(
    {"messages", "functions", "function_call", "response_format", "reasoning_effort", "verbosity"}
    | {"stream_options", "n", "logprobs", "tools", "tool_choice", *_RENAMED}
)
_SHARED = ("conversation", "metadata", "store", "stream_options")
"""Fields of both routes that a model's server with only chat completions need not know."""


def as_chat_completion(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a chat completion; one of a response is translated."""
    if "messages" in body or "input" not in body:
        return body
    instructions = body.get("instructions")
    first = [{"role": "system", "content": instructions}] if instructions else []
    translated = chat_body(body, [*first, *messages_of(input_items(body))], keeps_custom=True)
    translated.pop("stream_options", None)
    translated |= {name: body[name] for name in _SHARED if body.get(name) is not None}
    if "max_tokens" in translated:
        translated["max_completion_tokens"] = translated.pop("max_tokens")
    return translated


def as_response_request(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a request for a response; one of a chat completion is translated."""
    messages = body.get("messages")
    if "input" in body or not isinstance(messages, list):
        return body
    if not all(isinstance(message, Mapping) for message in messages):
        raise InvalidRequest("'messages' must be a list of messages.", param="messages")
    fields = {name: value for name, value in body.items() if name not in _DROPPED}
    for name, other in _RENAMED.items():
        if body.get(name) is not None:
            fields.setdefault(other, body[name])
    if body.get("reasoning_effort") is not None:
        fields["reasoning"] = {"effort": body["reasoning_effort"]}
    return {**fields, **_text(body), **_tools(body), "input": items_of(messages)}


def items_of(messages: Iterable[Message | Item]) -> list[Item]:
    """Return messages as items; items of the Responses API are kept as they are."""
    return [item for message in messages for item in _items(message)]


def _items(message: Message | Item) -> list[Item]:
    if message.get("type", "message") != "message":
        return [message]
    if message.get("role") == "tool":
        output = {"call_id": message.get("tool_call_id"), "output": _output(message.get("content"))}
        return [{"type": "function_call_output", **output}]
    calls = [_call_item(call) for call in mappings(message.get("tool_calls"))]
    content = message.get("content")
    if calls and not content:
        return calls
    kept = {name: value for name, value in message.items() if name not in ("tool_calls", "refusal")}
    role = "assistant" if message.get("role") == "assistant" else "user"
    return [{**kept, "content": _content(content or message.get("refusal") or "", role)}, *calls]


def _content(content: Any, role: str) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(part, role) if isinstance(part, Mapping) else part for part in content]


def _part(part: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {
            "type": "output_text" if role == "assistant" else "input_text",
            "text": part["text"],
        }
    image, file = part.get("image_url"), part.get("file")
    if kind == "image_url":
        url = image.get("url") if isinstance(image, Mapping) else image
        detail = image.get("detail") if isinstance(image, Mapping) else None
        return {"type": "input_image", "image_url": url, "detail": detail or "auto"}
    if kind == "file" and isinstance(file, Mapping):
        return {"type": "input_file", **file}
    return part


def _output(content: Any) -> Any:
    return content if isinstance(content, str) else _content(content or "", "user")


def _call_item(call: Mapping[str, Any]) -> Item:
    custom = call.get("custom")
    if isinstance(custom, Mapping):
        fields = {"name": custom.get("name"), "input": custom.get("input") or ""}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **fields}
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    fields = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    extra = {"extra_content": call["extra_content"]} if call.get("extra_content") else {}
    return {"type": "function_call", "call_id": call.get("id"), **fields, **extra}


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field `text` for the form and the verbosity that a chat completion asks for."""
    form = body.get("response_format")
    text: dict[str, Any] = {}
    if isinstance(form, Mapping):
        schema = form.get("json_schema")
        text["format"] = {**schema, "type": "json_schema"} if isinstance(schema, Mapping) else form
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    return {"text": text} if text else {}


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    functions = [{"type": "function", **function} for function in mappings(body.get("functions"))]
    tools = [*map(_flat, mappings(body.get("tools"))), *functions]
    choice = body.get("tool_choice")
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    if choice is not None:
        fields["tool_choice"] = _flat(choice) if isinstance(choice, Mapping) else choice
    return fields


def _flat(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool or a choice of one with the fields of its function beside its type."""
    inner = tool.get(str(tool.get("type")))
    return {"type": tool["type"], **inner} if isinstance(inner, Mapping) else tool
