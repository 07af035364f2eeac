"""The content of one message of ChatGPT's export: texts, markers for files, calls and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ingest.trees.nodes import NodeContent
from memory_service.items.conversation_items import ROLES
from memory_service.items.fields import MAX_NAME_CHARS

Message = Mapping[str, Any]

_CONTEXTS = ("user_editable_context", "model_editable_context")
"""Custom instructions and memories: hidden, but part of the conversation."""
_REASONING = ("thoughts", "reasoning_recap")


def reason_to_skip(message: Message, *, with_reasoning: bool) -> str | None:
    """Return why a message is left out; None if it is wanted, though it may be empty."""
    kind, role = _kind(message), _role(message)
    if kind in _REASONING and not with_reasoning:
        return "reasoning"
    if kind not in _CONTEXTS and message.get("weight") == 0:
        return "weight zero"
    is_hidden = _object(message, "metadata").get("is_visually_hidden_from_conversation") is True
    if kind not in _CONTEXTS and role == "system" and is_hidden:
        return "hidden"
    return None if role in ROLES else "unknown role"


def content_of(message: Message) -> NodeContent | None:
    """Return the content of a message; None if it has no text."""
    kind, role, details = _kind(message), _role(message), _object(message, "metadata")
    texts = [text for text in _texts(message) if text.strip()]
    if not texts:
        return None
    given_name = _object(message, "author").get("name")
    name = (
        given_name[:MAX_NAME_CHARS] if isinstance(given_name, str) and given_name.strip() else None
    )
    content = NodeContent(
        kind="message",
        role=role,
        texts=texts,
        name=name,
        ends_turn=message.get("end_turn") is True,
        metadata={
            "message_id": message.get("id"),
            "content_type": kind if kind not in ("text", "None") else None,
            "model": details.get("model_slug"),
            "attachments": ", ".join(_attachment_names(details)),
            "url": _object(message, "content").get("url"),
        },
    )
    recipient = message.get("recipient")
    to_tool = isinstance(recipient, str) and recipient not in ("all", "")
    if kind in _REASONING:
        return replace(content, kind="reasoning")
    if role == "tool":
        return replace(content, kind="output", tool=name or "", name=None)
    if role == "assistant" and (to_tool or kind == "code"):
        tool = str(recipient) if to_tool else "python"
        return replace(content, kind="call", tool=tool, arguments="\n".join(texts))
    return content


def _kind(message: Message) -> str:
    return str(_object(message, "content").get("content_type"))


def _role(message: Message) -> str:
    return str(_object(message, "author").get("role"))


def _texts(message: Message) -> Iterator[str]:
    """Yield the texts of a content, by its type; for an unknown type, all texts that it has."""
    kind, content = _kind(message), _object(message, "content")
    details = _object(message, "metadata")
    if kind == "thoughts":
        for thought in _list(content, "thoughts"):
            if isinstance(thought, dict):
                yield "\n".join(_strings(thought, "summary", "content"))
    elif kind in _CONTEXTS:
        yield from _strings(
            content, "user_profile", "user_instructions", "model_set_context", "repo_summary"
        )
    elif kind == "tether_quote":
        yield "\n".join(_strings(content, "title", "url", "text"))
    else:
        yield from _parts(content, details)
        yield from _strings(content, "text", "result", "summary", "content")
    yield from _attachments(content, details)


def _parts(content: Message, details: Message) -> Iterator[str]:
    parts = _list(content, "parts")
    has_transcription = any(
        isinstance(part, dict) and part.get("content_type") == "audio_transcription"
        for part in parts
    )
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            yield from _part(part, details, has_transcription=has_transcription)


def _part(part: Message, details: Message, *, has_transcription: bool) -> Iterator[str]:
    kind = str(part.get("content_type"))
    if kind == "image_asset_pointer":
        yield _image(part, details)
    elif "audio" in kind and kind != "audio_transcription":
        # Sound with a transcription needs no marker.
        if not has_transcription:
            yield "[audio]"
    elif "video" in kind:
        yield "[video]"
    else:
        yield from _strings(part, "text", "content", "result")


def _image(part: Message, details: Message) -> str:
    own = _object(part, "metadata")
    captions = [
        *_strings(part, "caption", "alt_text"),
        *_strings(_object(own, "dalle"), "prompt"),
        *_strings(_object(own, "generation"), "prompt"),
        *_strings(own, "caption", "prompt"),
    ]
    file_id = _file_id(part)
    names = [
        str(attachment.get("name"))
        for attachment in _list(details, "attachments")
        if _is_file(attachment, file_id)
    ]
    caption = next(iter([*captions, *names]), "")
    return f"[image: {caption}]" if caption else "[image]"


def _attachments(content: Message, details: Message) -> Iterator[str]:
    """Yield a marker for each file that came with a message and is not shown in it."""
    shown = [_file_id(part) for part in _list(content, "parts") if isinstance(part, dict)]
    for attachment in _list(details, "attachments"):
        is_shown = any(_is_file(attachment, file_id) for file_id in shown)
        if isinstance(attachment, dict) and not is_shown:
            yield f"[file: {attachment.get('name') or 'without a name'}]"


def _attachment_names(details: Message) -> list[str]:
    return [
        str(attachment["name"])
        for attachment in _list(details, "attachments")
        if isinstance(attachment, dict) and attachment.get("name")
    ]


def _file_id(part: Message) -> str:
    """Return the id at the end of a part's pointer, such as `sediment://file_1`."""
    return str(part.get("asset_pointer")).rpartition("/")[2]


def _is_file(attachment: Any, file_id: str) -> bool:
    return isinstance(attachment, dict) and bool(file_id) and attachment.get("id") == file_id


def _object(value: Message, key: str) -> Message:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _list(value: Message, key: str) -> list[Any]:
    inner = value.get(key)
    return inner if isinstance(inner, list) else []


def _strings(value: Message, *keys: str) -> list[str]:
    return [text for key in keys if isinstance(text := value.get(key), str) and text.strip()]
