"""Anthropic's content blocks as chat messages: text, tool calls, tool results, reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memory_service.items.strict_json import dumps

_THINKING = ("thinking", "redacted_thinking")


def blocks_of(content: Any) -> list[Mapping[str, Any]] | None:
    """Return a message's content as blocks, a string as one text block; None for anything else."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return None
    return [
        {"type": "text", "text": block} if isinstance(block, str) else block
        for block in content
        if isinstance(block, (str, Mapping))
    ]


def user_message(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a user's blocks as a message; None if they are empty."""
    content = _content(blocks)
    return None if content is None else {"role": "user", "content": content}


def assistant_message(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return an answer with its text and its tool calls; None if it has neither."""
    content = _content(blocks)
    calls = [_tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    if content is None and not calls:
        return None
    message = {"role": "assistant", "content": content}
    return {**message, "tool_calls": calls} if calls else message


def tool_message(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's result as a message: its text, with markers for other content."""
    blocks = blocks_of(block.get("content")) or ()
    text = "\n".join(filter(None, map(_text, blocks)))
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}


def reasoning_of(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the reasoning before an answer as an item; None if there is none in clear text."""
    texts = [block.get("thinking") for block in blocks if block.get("type") == "thinking"]
    summary = [
        {"type": "summary_text", "text": text} for text in texts if isinstance(text, str) and text
    ]
    return {"type": "reasoning", "summary": summary} if summary else None


def is_reasoning(block: Mapping[str, Any]) -> bool:
    """Return whether a block is the model's reasoning, in clear text or redacted."""
    return block.get("type") in _THINKING


def _content(blocks: Iterable[Mapping[str, Any]]) -> str | list[dict[str, str]] | None:
    texts = list(filter(None, map(_text, blocks)))
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return texts[0] if texts else None


def _text(block: Mapping[str, Any]) -> str:
    """Return a block's text, or a marker for a block without; tools and reasoning give ''."""
    kind = block.get("type")
    if kind in ("tool_use", "tool_result") or is_reasoning(block):
        return ""
    if kind == "text":
        text = block.get("text")
        return text if isinstance(text, str) and text.strip() else ""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "text":
        return str(source.get("data") or "")
    title = block.get("title")
    return f"[{kind}: {title}]" if isinstance(title, str) and title else f"[{kind or 'attachment'}]"


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": dumps(block.get("input") or {})}
    return {"id": block.get("id"), "type": "function", "function": function}
