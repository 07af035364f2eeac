"""The content of an item as the content of a chat-completions message. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Parts that only the Responses API has.
_ITEM_PARTS = frozenset(
    {
        "computer_screenshot",
        "input_file",
        "input_image",
        "input_text",
        "output_text",
        "reasoning_text",
        "summary_text",
    }
)


def chat_content(content: Any) -> Any:
    """Return chat content: that of a chat message as it is.

    Of the Responses API's parts, texts alone become a string.
    """
    if not isinstance(content, list):
        return content
    parts = [part for part in map(_part, content) if part is not None]
    if not is_chat_content(content) and all(set(part) == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def is_chat_content(content: Any) -> bool:
    """Return whether a content is a list of parts that chat completions has."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(part, Mapping) and part["type"] not in _ITEM_PARTS for part in content)
    )


def _part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = part["type"]
    if kind in ("summary_text", "reasoning_text"):
        return None
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "text":
        # Other fields, such as marks for a provider's cache, are for the upstream.
        return {**part, "text": part.get("text") or ""}
    if kind in ("input_image", "computer_screenshot"):
        return _image(part)
    if kind == "input_file":
        return _file(part)
    return dict(part)


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file part, or a text marker for a file that only the Responses API can resolve."""
    fields = ("file_id", "file_data", "filename")
    file = {key: part[key] for key in fields if part.get(key)}
    if "file_id" in file or "file_data" in file:
        return {"type": "file", "file": file}
    return {"type": "text", "text": f"[file {part.get('filename') or part.get('file_url')}]"}


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image part, or a marker for an image that only the Responses API can resolve."""
    url = part.get("image_url")
    if not url:
        return {"type": "text", "text": "[image]"}
    return {"type": "image_url", "image_url": {"url": url, "detail": part.get("detail") or "auto"}}
