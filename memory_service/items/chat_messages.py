"""Turns as chat-completions messages, tool calls whole. Pure.

A model refuses a tool result without its call and a call without its results, so both leave here
together or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.models import Dropped, Turn

Message = Mapping[str, Any]

# What a chat-completions `name` may look like; other speakers are named in the recalled block only.
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ROLES = {"unknown": "user", "critic": "user", "discriminator": "user"}
_CALL_KINDS = frozenset({"function_call", "custom_tool_call"})
_OUTPUT_KINDS = frozenset({"function_call_output", "custom_tool_call_output"})
# Where an assistant's message can say something, calls of tools apart.
_SAYING = ("content", "refusal", "function_call", "audio")
# Fields of an item that no chat-completions message has.
OUR_FIELDS = frozenset({"id", "type", "status", "phase", "created_at", "metadata", "object"})


@dataclass(frozen=True, slots=True)
class MessageGroup:
    """Turns that a prompt holds together or not at all, and the messages they become."""

    turns: Sequence[Turn]
    messages: Sequence[Message]
    dropped: Sequence[Dropped] = ()

    @property
    def first_seq(self) -> int:
        """Where the block begins on the live path."""
        return self.turns[0].seq


def blocks(turns: Sequence[Turn], answered: frozenset[str] = frozenset()) -> list[MessageGroup]:
    """Cut a stretch of the live path into blocks, oldest first.

    `answered` are ids of calls whose results come with the new input. A unit whose beginning lies
    before the stretch is left out whole.
    """
    return [_block(some, answered) for some in whole_units(_without_cut_units(turns))]


def whole_units(turns: Sequence[Turn]) -> list[Sequence[Turn]]:
    """Cut a stretch of the live path wherever no unit lies on both sides."""
    last_of_unit = {turn.tool_group_key: number for number, turn in enumerate(turns)}
    found: list[Sequence[Turn]] = []
    begin, reach = 0, 0
    for number, turn in enumerate(turns):
        if turn.tool_group_key is not None:
            reach = max(reach, last_of_unit[turn.tool_group_key])
        if number >= reach:
            found.append(turns[begin : number + 1])
            begin = reach = number + 1
    return found


def input_messages(turns: Iterable[Turn]) -> list[Message]:
    """Return stored turns as the new input of a prompt: each a message, as it looks ever after."""
    found: list[Message] = []
    for turn in turns:
        item = json.loads(turn.raw)
        message = _message(turn, item, set(_links(turn, item)))
        found += [result for _, result in _result(turn, item)] if message is None else [message]
    return found


def alternating(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with those of one user that follow each other directly made one.

    Strict chat templates refuse two in a row, which remain where an answer never came. Speakers
    with names stay apart.
    """
    found: list[Message] = []
    for message in messages:
        last = found[-1] if found else {}
        if set(message) == set(last) == {"role", "content"} and (
            message["role"] == last["role"] == "user"
        ):
            found[-1] = {**last, "content": [*_parts(last["content"]), *_parts(message["content"])]}
        else:
            found.append(message)
    return found


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def call_ids(messages: Iterable[Message]) -> frozenset[str]:
    """Return the ids of the tool calls that messages answer."""
    return frozenset(
        str(message["tool_call_id"])
        for message in messages
        if message.get("role") == "tool" and message.get("tool_call_id")
    )


def _without_cut_units(turns: Sequence[Turn]) -> Sequence[Turn]:
    keys = {turn.key for turn in turns}
    return [turn for turn in turns if turn.tool_group_key is None or turn.tool_group_key in keys]


def _block(turns: Sequence[Turn], answered: frozenset[str]) -> MessageGroup:
    items = [(turn, json.loads(turn.raw)) for turn in turns]
    results = {link: message for turn, item in items for link, message in _result(turn, item)}
    calls = [link for turn, item in items for link in _links(turn, item)]
    kept = {link for link in calls if link in results or link in answered}
    messages: list[dict[str, Any]] = []
    waiting: list[str] = []
    for turn, item in items:
        message = _message(turn, item, kept)
        if message is None:
            continue
        if _joins(turn, messages, waiting):
            messages[-1]["tool_calls"] += message["tool_calls"]
        else:
            messages += [results[link] for link in waiting if link in results]
            waiting = []
            messages.append(message)
        waiting += [link for link in _links(turn, item) if link in kept]
    messages += [results[link] for link in waiting if link in results]
    return MessageGroup(turns, messages, _dropped(items, kept, frozenset(calls)))


def _joins(turn: Turn, messages: Sequence[Message], waiting: Sequence[str]) -> bool:
    """Return whether this call belongs to the message before: parallel calls are one message."""
    return bool(waiting and messages and turn.kind in _CALL_KINDS and "tool_calls" in messages[-1])


def _dropped(
    items: Sequence[tuple[Turn, Mapping[str, Any]]], kept: set[str], calls: frozenset[str]
) -> list[Dropped]:
    found: list[Dropped] = []
    for turn, item in items:
        links = _links(turn, item)
        if links and not any(link in kept for link in links):
            found.append(Dropped(turn.id, "unanswered_tool_call"))
        if any(link not in calls for link, _ in _result(turn, item)):
            found.append(Dropped(turn.id, "orphan_tool_result"))
    return found


def _links(turn: Turn, item: Mapping[str, Any]) -> list[str]:
    if turn.kind in _CALL_KINDS:
        return [str(item["call_id"])]
    if turn.kind == "message" and turn.role == "assistant":
        return [str(call.get("id")) for call in item.get("tool_calls") or ()]
    return []


def _result(turn: Turn, item: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (call id, tool message) of a tool result; nothing for other turns."""
    if turn.kind in _OUTPUT_KINDS:
        link, content = item.get("call_id"), item.get("output")
    elif turn.kind == "message" and turn.role == "tool":
        link, content = item.get("tool_call_id"), item.get("content")
    else:
        return []
    text = content if isinstance(content, str) else turn.text
    return [(str(link), {"role": "tool", "tool_call_id": str(link), "content": text})]


def _message(turn: Turn, item: Mapping[str, Any], kept: set[str]) -> dict[str, Any] | None:
    if turn.kind in _CALL_KINDS:
        call = _call(turn, item)
        return (
            {"role": "assistant", "content": None, "tool_calls": [call]}
            if call["id"] in kept
            else None
        )
    if turn.kind != "message" or turn.role == "tool":
        return None
    message = {key: value for key, value in item.items() if key not in OUR_FIELDS}
    message["role"] = _ROLES.get(turn.role, turn.role)
    message["content"] = _content(item.get("content"))
    message.pop("name", None)
    if turn.name and _NAME.fullmatch(turn.name):
        message["name"] = turn.name
    return _with_kept_calls(message, kept)


def _with_kept_calls(message: dict[str, Any], kept: set[str]) -> dict[str, Any] | None:
    if "tool_calls" not in message:
        return message
    calls = [call for call in message.pop("tool_calls") or () if str(call.get("id")) in kept]
    if calls:
        return {**message, "tool_calls": calls}
    return message if any(message.get(key) for key in _SAYING) else None


def _call(turn: Turn, item: Mapping[str, Any]) -> dict[str, Any]:
    if turn.kind == "custom_tool_call":
        said = {"name": item.get("name"), "input": item.get("input") or ""}
        return {"id": item["call_id"], "type": "custom", "custom": said}
    said = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": item["call_id"], "type": "function", "function": said}


def _content(content: Any) -> Any:
    """Return chat content: a string where all is text, else a list of parts."""
    if not isinstance(content, list):
        return content
    parts = [part for part in map(_part, content) if part is not None]
    if all(set(part) == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = part["type"]
    if kind in ("summary_text", "reasoning_text"):
        return None
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "text":
        # Fields beside the text (marks of a provider's cache) are the upstream's business.
        return {**part, "text": part.get("text") or ""}
    if kind in ("input_image", "computer_screenshot"):
        return _image(part)
    if kind == "input_file":
        return _file(part)
    return dict(part)


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file part; one that only the Responses API could resolve leaves a marker."""
    fields = ("file_id", "file_data", "filename")
    file = {key: part[key] for key in fields if part.get(key)}
    if "file_id" in file or "file_data" in file:
        return {"type": "file", "file": file}
    return {"type": "text", "text": f"[file {part.get('filename') or part.get('file_url')}]"}


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image part; one that only the Responses API could resolve leaves a marker."""
    url = part.get("image_url")
    if not url:
        return {"type": "text", "text": "[image]"}
    return {"type": "image_url", "image_url": {"url": url, "detail": part.get("detail") or "auto"}}
