"""Tools of a response, as tools of a chat completion. Pure.

A custom tool takes free text. Few servers of chat completions know custom tools, so such a tool is
sent as a function with one string, `input`, and its calls are translated back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memory_service.core.errors import InvalidRequest
from memory_service.items.strict_json import dumps
from memory_service.responses.objects import mappings

Tool = Mapping[str, Any]

_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")
_CHOICES = ("none", "auto", "required")
_CALLABLE = ("function", "custom")


def chat_tools(body: Mapping[str, Any], *, keeps_custom: bool) -> dict[str, Any]:
    """Return the fields `tools` and `tool_choice` of a chat completion.

    Custom tools become functions unless `keeps_custom`.
    Raises InvalidRequest that names a tool which only a server of responses can run.
    """
    tools = _tools(body)
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = {tool.get("name") for tool in mappings(choice.get("tools"))}
        tools = [tool for tool in tools if tool.get("name") in allowed]
        choice = choice.get("mode", "auto")
    fields: dict[str, Any] = {}
    if tools:
        fields["tools"] = [_chat_tool(tool, keeps_custom=keeps_custom) for tool in tools]
        if choice is not None:
            fields["tool_choice"] = _chat_choice(choice, keeps_custom=keeps_custom)
    return fields


def custom_tool_names(body: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the custom tools of a request."""
    tools = mappings(body.get("tools"))
    return frozenset(str(tool.get("name")) for tool in tools if tool.get("type") == "custom")


def custom_arguments(text: str) -> str:
    """Return the arguments of the function that stands for a custom tool."""
    return dumps({"input": text})


def custom_input(arguments: str) -> str:
    """Return the text that a call of such a function passes to its custom tool."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get("input") if isinstance(value, Mapping) else None
    return text if isinstance(text, str) else arguments


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    tools = mappings(body.get("tools"))
    for position, tool in enumerate(tools):
        if tool.get("type") not in _CALLABLE:
            raise _unsupported(str(tool.get("type")), f"tools.{position}")
    return tools


def _chat_tool(tool: Tool, *, keeps_custom: bool) -> dict[str, Any]:
    if isinstance(tool.get("function"), Mapping):
        # Clients that send these bodies to chat completions mix the forms of both routes.
        return dict(tool)
    if tool["type"] == "custom":
        custom = {"type": "custom", "custom": _chat_custom(tool)}
        function = {"type": "function", "function": _function_of_custom(tool)}
        return custom if keeps_custom else function
    function = {name: tool[name] for name in _FUNCTION_FIELDS if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _chat_custom(tool: Tool) -> dict[str, Any]:
    custom = {name: value for name, value in tool.items() if name != "type"}
    form = custom.get("format")
    if isinstance(form, Mapping) and form.get("type") == "grammar":
        grammar = {name: value for name, value in form.items() if name != "type"}
        custom["format"] = {"type": "grammar", "grammar": grammar}
    return custom


def _function_of_custom(tool: Tool) -> dict[str, Any]:
    about = [str(tool["description"])] if tool.get("description") else []
    form = tool.get("format")
    if isinstance(form, Mapping) and form.get("type") == "grammar":
        about.append(f"The input follows this {form.get('syntax')} grammar:\n{form['definition']}")
    parameters = {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    function = {"name": tool.get("name"), "parameters": parameters}
    return {**function, "description": "\n\n".join(about)} if about else function


def _chat_choice(choice: Any, *, keeps_custom: bool) -> Any:
    if choice in _CHOICES:
        return choice
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if kind not in _CALLABLE:
        raise _unsupported(str(kind), "tool_choice")
    form = kind if keeps_custom else "function"
    return {"type": form, form: {"name": choice.get("name")}}


def _unsupported(kind: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"The tool {kind!r} runs on the model's server, and this server has only chat completions. "
        "Tools of the types 'function' and 'custom' work with every server.",
        param=param,
        code="unsupported_tool",
    )
