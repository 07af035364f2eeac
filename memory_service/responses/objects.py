"""Response objects and their output items, in the form of OpenAI's API. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]

# Fields of a request that its response repeats, with the values they have if they are not given.
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def new_response(body: Mapping[str, Any], response_id: str, created_at: int) -> dict[str, Any]:
    """Return the response to a request, in progress and without output."""
    repeated = {
        name: default if body.get(name) is None else body[name]
        for name, default in _REPEATED.items()
    }
    tools = body.get("tools")
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": body.get("model") or "",
        "output": [],
        "usage": None,
        **repeated,
        "tools": [_shown_tool(tool) for tool in tools] if isinstance(tools, list) else [],
    }


def failed(response: Mapping[str, Any], message: str, output: Sequence[Item]) -> dict[str, Any]:
    """Return a response that the model's server could not complete."""
    error = {"code": "server_error", "message": message}
    return {**response, "status": "failed", "error": error, "output": list(output)}


def message_item(item_id: str, parts: Sequence[Any], status: str = "completed") -> dict[str, Any]:
    """Return a message of the model."""
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(parts),
    }


def text_part(text: str, annotations: Sequence[Any] = ()) -> dict[str, Any]:
    """Return a part with text."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    """Return a part in which the model refuses."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(item_id: str, text: str, status: str = "completed") -> dict[str, Any]:
    """Return the reasoning of a model whose reasoning is not hidden."""
    return {
        "id": item_id,
        "type": "reasoning",
        "status": status,
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; nothing for other values."""
    elements = value if isinstance(value, list) else []
    return [element for element in elements if isinstance(element, Mapping)]


def _shown_tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        return tool
    return {"parameters": None, "strict": None, **tool}
