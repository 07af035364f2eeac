"""Turns as chat-completions messages, in groups that keep tool groups whole. Pure.

A tool group is an assistant's tool calls with all their results. A model refuses a tool result
without its call and a call without its results, so a prompt holds both or neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.core.models import Dropped, Turn

Message = Mapping[str, Any]

# Names that chat completions accept; other speakers are named in the recalled block only.
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ROLES = {"unknown": "user", "critic": "user", "discriminator": "user"}
_CALL_KINDS = frozenset({"function_call", "custom_tool_call"})
_OUTPUT_KINDS = frozenset({"function_call_output", "custom_tool_call_output"})
# Fields with an assistant's answer, other than tool calls.
_ANSWER_FIELDS = ("content", "refusal", "function_call", "audio")
# Fields of an item that chat-completions messages do not have.
OUR_FIELDS = frozenset({"id", "type", "status", "phase", "created_at", "metadata", "object"})


@dataclass(frozen=True, slots=True)
class MessageGroup:
    """Turns that a prompt keeps or leaves out together, with their messages."""

    turns: Sequence[Turn]
    messages: Sequence[Message]
    dropped: Sequence[Dropped] = ()

    @property
    def first_seq(self) -> int:
        """The `seq` of the first turn."""
        return self.turns[0].seq


def message_groups(
    turns: Sequence[Turn], answered: frozenset[str] = frozenset()
) -> list[MessageGroup]:
    """Split consecutive turns of the active branch into groups, oldest first.

    `answered` are ids of calls whose results come with the new input. A tool group that began
    before these turns is left out as a whole.
    """
    return [_group(group, answered) for group in turn_groups(_without_cut_tool_groups(turns))]


def turn_groups(turns: Sequence[Turn]) -> list[Sequence[Turn]]:
    """Split consecutive turns wherever no tool group has turns on both sides."""
    last_of_tool_group = {turn.tool_group_key: number for number, turn in enumerate(turns)}
    groups: list[Sequence[Turn]] = []
    begin, reach = 0, 0
    for number, turn in enumerate(turns):
        if turn.tool_group_key is not None:
            reach = max(reach, last_of_tool_group[turn.tool_group_key])
        if number >= reach:
            groups.append(turns[begin : number + 1])
            begin = reach = number + 1
    return groups


def input_messages(turns: Iterable[Turn]) -> list[Message]:
    """Return stored turns as the new input of a prompt, in the form that later prompts repeat."""
    messages: list[Message] = []
    for turn in turns:
        item = json.loads(turn.raw)
        message = _message(turn, item, set(_links(turn, item)))
        messages += [result for _, result in _result(turn, item)] if message is None else [message]
    return messages


def alternating(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with consecutive messages of the user merged.

    Strict chat templates refuse two in a row, which occur where an answer never came. Messages
    with a name are not merged.
    """
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else {}
        if set(message) == set(last) == {"role", "content"} and (
            message["role"] == last["role"] == "user"
        ):
            parts = [*_parts(last["content"]), *_parts(message["content"])]
            merged[-1] = {**last, "content": parts}
        else:
            merged.append(message)
    return merged


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def call_ids(messages: Iterable[Message]) -> frozenset[str]:
    """Return the ids of the tool calls that messages answer."""
    return frozenset(
        str(message["tool_call_id"])
        for message in messages
        if message.get("role") == "tool" and message.get("tool_call_id")
    )


def _without_cut_tool_groups(turns: Sequence[Turn]) -> Sequence[Turn]:
    keys = {turn.key for turn in turns}
    return [turn for turn in turns if turn.tool_group_key is None or turn.tool_group_key in keys]


def _group(turns: Sequence[Turn], answered: frozenset[str]) -> MessageGroup:
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
    """Return whether a call belongs to the message before it: parallel calls are one message."""
    return bool(waiting and messages and turn.kind in _CALL_KINDS and "tool_calls" in messages[-1])


def _dropped(
    items: Sequence[tuple[Turn, Mapping[str, Any]]], kept: set[str], calls: frozenset[str]
) -> list[Dropped]:
    dropped: list[Dropped] = []
    for turn, item in items:
        links = _links(turn, item)
        if links and not any(link in kept for link in links):
            dropped.append(Dropped(turn.id, "unanswered_tool_call"))
        if any(link not in calls for link, _ in _result(turn, item)):
            dropped.append(Dropped(turn.id, "orphan_tool_result"))
    return dropped


def _links(turn: Turn, item: Mapping[str, Any]) -> list[str]:
    """Return the ids of the tool calls that a turn makes."""
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
    message["content"] = chat_content(item.get("content"))
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
    return message if any(message.get(key) for key in _ANSWER_FIELDS) else None


def _call(turn: Turn, item: Mapping[str, Any]) -> dict[str, Any]:
    if turn.kind == "custom_tool_call":
        custom = {"name": item.get("name"), "input": item.get("input") or ""}
        return {"id": item["call_id"], "type": "custom", "custom": custom}
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": item["call_id"], "type": "function", "function": function}


def chat_content(content: Any) -> Any:
    """Return chat content: a string if all parts are text, else a list of parts."""
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
