"""Items of the Responses API as messages of chat completions. Pure.

Servers with only chat completions run strict chat templates: one system message, at the beginning,
and no two messages of the assistant in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.items.chat_content import chat_content
from memory_service.items.chat_messages import OUR_FIELDS, Message
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.item_text import text_of_parts
from memory_service.items.kinds import role_of
from memory_service.responses.chat.tools import custom_arguments
from memory_service.responses.objects import Item, mappings

_CALLS = ("function_call", "custom_tool_call")
_FUNCTION = ("function", "arguments")
_OUTPUTS = frozenset(f"{kind}_output" for kind in _CALLS)


def messages_of(items: Iterable[Item]) -> list[Message]:
    """Return the messages of items; items that chat completions do not have are left out."""
    return [message for item in items for message in _messages(item)]


def strict_messages(messages: Iterable[Message], items: Sequence[Item]) -> list[Message]:
    """Return messages in the form that every server of chat completions accepts.

    `items` are the newest items of the dialogue: calls get back what their server sent with them.
    """
    restored = _with_vendor_fields([_with_functions(message) for message in messages], items)
    system = [message for message in restored if message["role"] in SYSTEM_ROLES]
    others = [message for message in restored if message["role"] not in SYSTEM_ROLES]
    return [*_joined_system(system), *_joined_calls(others)]


def _messages(item: Item) -> list[Message]:
    kind = item.get("type", "message")
    if kind == "message":
        kept = {name: value for name, value in item.items() if name not in OUR_FIELDS}
        return [{**kept, "role": role_of(item), "content": chat_content(item.get("content"))}]
    if kind in _CALLS:
        return [{"role": "assistant", "content": None, "tool_calls": [_call(item)]}]
    if kind in _OUTPUTS:
        content = _output(item.get("output"))
        return [{"role": "tool", "tool_call_id": item.get("call_id"), "content": content}]
    return []


def _call(item: Item) -> dict[str, Any]:
    kind, field = ("custom", "input") if item["type"] == "custom_tool_call" else _FUNCTION
    fields = {"name": item.get("name"), field: item.get(field) or ""}
    return {"id": item.get("call_id"), "type": kind, kind: fields}


def _output(output: Any) -> Any:
    """Return the result of a tool: a string, since few servers take parts there."""
    return output if isinstance(output, str) else text_of_parts(output)


def _with_functions(message: Message) -> Message:
    """Return a message whose calls of custom tools are calls of functions."""
    calls = message.get("tool_calls")
    if not calls or not any(call.get("type") == "custom" for call in calls):
        return message
    return {**message, "tool_calls": [_function_call(call) for call in calls]}


def _function_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    custom = call.get("custom")
    if not isinstance(custom, Mapping):
        return call
    arguments = custom_arguments(str(custom.get("input") or ""))
    function = {"name": custom.get("name"), "arguments": arguments}
    return {"id": call.get("id"), "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class _CallContext:
    """What a server sent with a call and needs back: its reasoning, its own fields."""

    reasoning: str
    extra_content: Any


def _with_vendor_fields(messages: Sequence[Message], items: Sequence[Item]) -> list[Message]:
    """Return the messages with the reasoning and the vendors' fields of the current calls."""
    contexts = _call_contexts(items)
    last_user = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=-1)
    return [
        _restored(message, contexts)
        if number > last_user and message.get("tool_calls")
        else message
        for number, message in enumerate(messages)
    ]


def _call_contexts(items: Sequence[Item]) -> dict[str, _CallContext]:
    contexts: dict[str, _CallContext] = {}
    reasoning = ""
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            parts = mappings(item.get("content"))
            reasoning = "".join(str(part.get("text") or "") for part in parts)
        elif kind in _CALLS:
            context = _CallContext(reasoning, item.get("extra_content"))
            contexts[str(item.get("call_id"))] = context
        elif role_of(item) != "assistant":
            reasoning = ""
    return contexts


def _restored(message: Message, contexts: Mapping[str, _CallContext]) -> Message:
    calls = [_with_extra(call, contexts.get(str(call.get("id")))) for call in message["tool_calls"]]
    first = contexts.get(str(message["tool_calls"][0].get("id")))
    restored = {**message, "tool_calls": calls}
    if first is not None and first.reasoning and "reasoning_content" not in message:
        restored["reasoning_content"] = first.reasoning
    return restored


def _with_extra(call: Mapping[str, Any], context: _CallContext | None) -> Mapping[str, Any]:
    if context is None or not context.extra_content:
        return call
    return {**call, "extra_content": context.extra_content}


def _joined_system(messages: Sequence[Message]) -> list[Message]:
    texts = (text_of_parts(message.get("content")) for message in messages)
    text = "\n\n".join(filter(None, texts))
    return [{"role": "system", "content": text}] if text else []


def _joined_calls(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with parallel calls, and the text before them, in one message."""
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else {}
        is_assistant = last.get("role") == message["role"] == "assistant"
        if is_assistant and message.get("tool_calls") and not message.get("content"):
            calls = [*(last.get("tool_calls") or ()), *message["tool_calls"]]
            joined[-1] = {**message, **last, "tool_calls": calls}
        else:
            joined.append(message)
    return joined
