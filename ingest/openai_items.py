"""What was said, as the JSON of OpenAI's items: the shapes that `memory_service.items` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from memory_service.core.clock import MAX_SECONDS, to_datetime
from memory_service.core.models import MICROSECONDS
from memory_service.items.fields import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_PAIRS,
    MAX_METADATA_VALUE_CHARS,
)
from memory_service.items.strict_json import dumps

# The log keeps UTF-8 and no NUL; transcripts hold halves of emojis where a stream was cut.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NO_FUNCTION_NAME = re.compile(r"[^A-Za-z0-9_.-]")


def message(role: str, texts: Sequence[str]) -> str:
    """Return a message; several texts become parts of their own."""
    if len(texts) == 1:
        return dumps({"type": "message", "role": role, "content": storable(texts[0])})
    kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": kind, "text": storable(text)} for text in texts]
    return dumps({"type": "message", "role": role, "content": parts})


def call(call_id: str, name: str, arguments: Any) -> str:
    """Return a tool call: of a function where the arguments are an object, else with free text."""
    said = _as_object(arguments)
    tool = _NO_FUNCTION_NAME.sub("_", name)[:64] or "tool"
    if said is None:
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
            "arguments": storable(json.dumps(said, ensure_ascii=False)),
        }
    )


def call_output(call_id: str, arguments: Any, texts: Sequence[str]) -> str:
    """Return the result of a call with these arguments; the kinds of both must go together."""
    kind = "custom_tool_call_output" if _as_object(arguments) is None else "function_call_output"
    return dumps({"type": kind, "call_id": call_id, "output": storable("\n".join(texts))})


def reasoning(texts: Sequence[str]) -> str:
    """Return the model's thoughts."""
    summary = [{"type": "summary_text", "text": storable(text)} for text in texts]
    return dumps({"type": "reasoning", "summary": summary})


def storable(text: str) -> str:
    """Return the text with a replacement character where one cannot be stored."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def metadata(pairs: Mapping[str, Any]) -> dict[str, str]:
    """Return OpenAI's metadata: short strings, and nothing for values that are not there."""
    kept = {
        key[:MAX_METADATA_KEY_CHARS]: storable(str(value))[:MAX_METADATA_VALUE_CHARS]
        for key, value in pairs.items()
        if value not in (None, "", [], {})
    }
    return dict(list(kept.items())[:MAX_METADATA_PAIRS])


def microseconds(value: Any) -> int | None:
    """Return a time as microseconds since the epoch; None for what is none, or out of range.

    Takes Unix seconds and ISO 8601; a time without an offset is UTC.
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        found = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return found if 0 <= found <= MAX_SECONDS * MICROSECONDS else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return round(value * MICROSECONDS) if 0 <= value <= MAX_SECONDS else None


def rfc3339(time: int | None) -> str | None:
    """Return microseconds since the epoch as text."""
    return None if time is None else to_datetime(time).isoformat()


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
