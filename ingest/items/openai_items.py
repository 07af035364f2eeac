"""OpenAI's items as JSON text, in the shapes that `memory_service.items` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ingest.items.fields import storable
from memory_service.items.strict_json import dumps

_NOT_IN_FUNCTION_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


def message_item(role: str, texts: Sequence[str]) -> str:
    """Return a message; several texts become content parts."""
    if len(texts) == 1:
        return dumps({"type": "message", "role": role, "content": storable(texts[0])})
    kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": kind, "text": storable(text)} for text in texts]
    return dumps({"type": "message", "role": role, "content": parts})


def call_item(call_id: str, name: str, arguments: Any) -> str:
    """Return a tool call: a function call if the arguments are an object, else a custom one."""
    fields = _as_object(arguments)
    tool = _NOT_IN_FUNCTION_NAMES.sub("_", name)[:64] or "tool"
    if fields is None:
        return dumps(
            {
                "type": "custom_tool_call",
                "call_id": call_id,
                "name": tool,
                "input": storable(str(arguments)),
            }
        )
    return dumps(
        {
            "type": "function_call",
            "call_id": call_id,
            "name": tool,
            "arguments": storable(json.dumps(fields, ensure_ascii=False)),
        }
    )


def call_output_item(call_id: str, arguments: Any, texts: Sequence[str]) -> str:
    """Return the output of a call with these arguments, of the kind that matches the call's."""
    kind = "custom_tool_call_output" if _as_object(arguments) is None else "function_call_output"
    return dumps({"type": kind, "call_id": call_id, "output": storable("\n".join(texts))})


def reasoning_item(texts: Sequence[str]) -> str:
    """Return the model's reasoning."""
    summary = [{"type": "summary_text", "text": storable(text)} for text in texts]
    return dumps({"type": "reasoning", "summary": summary})


def _as_object(arguments: Any) -> dict[str, Any] | None:
    if isinstance(arguments, dict):
        return arguments
    if not isinstance(arguments, str) or not arguments.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
