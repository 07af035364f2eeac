"""Turns as chat-completions messages, in groups that keep tool groups whole. Pure.

A tool group is an assistant's tool calls with all their results. A model refuses a tool result
without its call and a call without its results, so a prompt holds both or neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from memory_service.core.models import Dropped, Turn
from memory_service.items.chat_content import chat_content, is_chat_content
from memory_service.items.vendor_fields import without_vendor_fields

Message = Mapping[str, Any]

# Names that chat completions accept; other speakers are named in the recalled block only.
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ROLES = {"unknown": "user", "critic": "user", "discriminator": "user"}
_CALL_KINDS = frozenset({"function_call", "custom_tool_call"})
_OUTPUT_KINDS = frozenset({"function_call_output", "custom_tool_call_output"})
# Fields with an assistant's answer, other than tool calls.
_ANSWER_FIELDS = ("content", "refusal", "function_call", "audio")
# Fields of an answer that a model is not sent again.
_ANSWER_ONLY = frozenset({"annotations"})

OUR_FIELDS = frozenset({"id", "type", "status", "phase", "created_at", "metadata", "object"})
"""Fields of an item that chat-completions messages do not have."""


class ClientMessage(NamedTuple):
    """A message as the client sent it, and its position among those that are not the system's."""

    position: int
    message: Message


class PlacedMessage(NamedTuple):
    """A message of a prompt, and its position as the client sent it; None if it did not."""

    message: Message
    position: int | None = None


_NONE_SENT: Final[Mapping[int, ClientMessage]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MessageGroup:
    """Turns that a prompt keeps or leaves out together, with their messages.

    `positions` are those of the messages as the client sent them; empty if it sent none.
    """

    turns: Sequence[Turn]
    messages: Sequence[Message]
    dropped: Sequence[Dropped] = ()
    positions: Sequence[int | None] = ()

    @property
    def first_seq(self) -> int:
        """The `seq` of the first turn."""
        return self.turns[0].seq

    @property
    def placed(self) -> list[PlacedMessage]:
        """The messages with their positions."""
        positions = self.positions or [None] * len(self.messages)
        return list(map(PlacedMessage, self.messages, positions))

    def without_vendor_fields(self) -> MessageGroup:
        """Return the group; messages that the client did not send have OpenAI's fields only."""
        messages = [
            without_vendor_fields(message) if position is None else message
            for message, position in self.placed
        ]
        return replace(self, messages=messages)


def message_groups(
    turns: Sequence[Turn],
    answered: frozenset[str] = frozenset(),
    sent: Mapping[int, ClientMessage] = _NONE_SENT,
) -> list[MessageGroup]:
    """Split consecutive turns of the active branch into groups, oldest first.

    `answered` are ids of calls whose results come with the new input. A tool group that began
    before these turns is left out as a whole. `sent` are the messages that the client sent again,
    by the keys of their turns: they are used as they are.
    """
    groups = turn_groups(_without_cut_tool_groups(turns))
    return [_group(group, answered, sent) for group in groups]


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


def input_messages(
    turns: Iterable[Turn], sent: Mapping[int, ClientMessage] = _NONE_SENT
) -> list[Message]:
    """Return stored turns as the new input of a prompt, in the form that later prompts repeat.

    `sent` are the messages that the client sent, by the keys of their turns.
    """
    messages: list[Message] = []
    for turn in turns:
        if turn.key in sent:
            messages.append(sent[turn.key].message)
            continue
        item = json.loads(turn.raw)
        message = _message(turn, item, set(_links(turn, item)))
        results = [result.message for _, result in _result(turn, item)]
        messages += results if message is None else [message]
    return messages


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


def _group(
    turns: Sequence[Turn], answered: frozenset[str], sent: Mapping[int, ClientMessage]
) -> MessageGroup:
    items = [(turn, json.loads(turn.raw)) for turn in turns]
    results = {link: result for turn, item in items for link, result in _result(turn, item, sent)}
    calls = [link for turn, item in items for link in _links(turn, item)]
    own = {link for turn, item in items if turn.key in sent for link in _links(turn, item)}
    kept = own | {link for link in calls if link in results or link in answered}
    messages: list[PlacedMessage] = []
    waiting: list[str] = []
    for turn, item in items:
        message = _chat_message(turn, item, kept, sent)
        if message is None:
            continue
        if _joins(turn, messages, waiting):
            messages[-1] = _with_calls_of(messages[-1], message)
        else:
            messages += [results[link] for link in waiting if link in results]
            waiting = []
            messages.append(message)
        waiting += [link for link in _links(turn, item) if link in kept]
    messages += [results[link] for link in waiting if link in results]
    return MessageGroup(
        turns,
        [placed.message for placed in messages],
        _dropped(items, kept, frozenset(calls)),
        [placed.position for placed in messages],
    )


def _joins(turn: Turn, messages: Sequence[PlacedMessage], waiting: Sequence[str]) -> bool:
    """Return whether a call belongs to the message before it: parallel calls are one message."""
    return bool(
        waiting
        and messages
        and turn.kind in _CALL_KINDS
        and "tool_calls" in messages[-1].message
        and messages[-1].position is None
    )


def _with_calls_of(message: PlacedMessage, other: PlacedMessage) -> PlacedMessage:
    calls = [*message.message["tool_calls"], *other.message["tool_calls"]]
    return PlacedMessage({**message.message, "tool_calls": calls})


def _chat_message(
    turn: Turn, item: Mapping[str, Any], kept: AbstractSet[str], sent: Mapping[int, ClientMessage]
) -> PlacedMessage | None:
    """Return the message of a turn as the client sent it, else as it is stored."""
    if turn.key in sent and turn.role != "tool":
        return PlacedMessage(sent[turn.key].message, sent[turn.key].position)
    message = _message(turn, item, kept)
    return None if message is None else PlacedMessage(message)


def _dropped(
    items: Sequence[tuple[Turn, Mapping[str, Any]]], kept: AbstractSet[str], calls: frozenset[str]
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


def _result(
    turn: Turn, item: Mapping[str, Any], sent: Mapping[int, ClientMessage] = _NONE_SENT
) -> list[tuple[str, PlacedMessage]]:
    """Return (call id, tool message) of a tool result; nothing for other turns."""
    if turn.kind in _OUTPUT_KINDS:
        link, content = item.get("call_id"), item.get("output")
        fields: Mapping[str, Any] = {}
    elif turn.kind == "message" and turn.role == "tool":
        link, content = item.get("tool_call_id"), item.get("content")
        fields = {key: value for key, value in item.items() if key not in OUR_FIELDS}
    else:
        return []
    if turn.key in sent:
        return [(str(link), PlacedMessage(sent[turn.key].message, sent[turn.key].position))]
    message = {**fields, "role": "tool", "tool_call_id": str(link), "content": content}
    if not isinstance(content, str) and not is_chat_content(content):
        message["content"] = turn.text
    return [(str(link), PlacedMessage(message))]


def _message(turn: Turn, item: Mapping[str, Any], kept: AbstractSet[str]) -> Message | None:
    if turn.kind in _CALL_KINDS:
        call = _call(turn, item)
        return (
            {"role": "assistant", "content": None, "tool_calls": [call]}
            if call["id"] in kept
            else None
        )
    if turn.kind != "message" or turn.role == "tool":
        return None
    left_out = OUR_FIELDS | _ANSWER_ONLY
    message = {key: value for key, value in item.items() if key not in left_out}
    message["role"] = _ROLES.get(turn.role, turn.role)
    message["content"] = chat_content(item.get("content"))
    if _transcript(item):
        # The id of a sound expires, and the transcript does not.
        message["content"] = message["content"] or _transcript(item)
        del message["audio"]
    message.pop("name", None)
    if turn.name and _NAME.fullmatch(turn.name):
        message["name"] = turn.name
    return with_kept_calls(message, kept)


def _transcript(item: Mapping[str, Any]) -> str | None:
    """Return the transcript of a spoken answer."""
    audio = item.get("audio")
    transcript = audio.get("transcript") if isinstance(audio, Mapping) else None
    return transcript if isinstance(transcript, str) else None


def tool_call_ids(message: Message) -> list[str]:
    """Return the ids of the tool calls in a message, which a client may send in any shape."""
    calls = message.get("tool_calls")
    elements = calls if isinstance(calls, list) else [calls]
    return [str(call["id"]) for call in elements if isinstance(call, Mapping) and call.get("id")]


def with_kept_calls(message: Message, kept: AbstractSet[str]) -> Message | None:
    """Return a message with the tool calls of these ids only; None if nothing else is in it."""
    if "tool_calls" not in message:
        return message
    calls = [call for call in message["tool_calls"] or () if str(call.get("id")) in kept]
    if calls:
        return {**message, "tool_calls": calls}
    if not any(message.get(key) for key in _ANSWER_FIELDS):
        return None
    return {name: value for name, value in message.items() if name != "tool_calls"}


def _call(turn: Turn, item: Mapping[str, Any]) -> dict[str, Any]:
    if turn.kind == "custom_tool_call":
        custom = {"name": item.get("name"), "input": item.get("input") or ""}
        return {"id": item["call_id"], "type": "custom", "custom": custom}
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": item["call_id"], "type": "function", "function": function}
