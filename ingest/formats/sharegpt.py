"""ShareGPT's conversations: `{"conversations": [{"from": "human", "value": "…"}, …]}`.

A file is a JSON array of them, or JSON lines. Ids are not unique, because each file counts from 0;
so a conversation is identified by its id and its beginning, up to the first answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingest.items.fields import one_line_title, speaker_name
from ingest.records.beginnings import array_or_lines, first_value
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder
from memory_service.core.errors import InvalidRequest
from memory_service.items.strict_json import canonical, dumps, loads

NAME = "sharegpt"
EXPECTS = 'ShareGPT: objects with "conversations": [{"from": "human", "value": "…"}, …]'

_ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
_CUT = re.compile(r'"conversations"\s*:\s*\[\s*\{\s*"(?:from|value)"\s*:')
"""Matches a first record that is longer than a head."""


def sniff(source: ExportSource) -> bool:
    """Return whether the first record has a list of turns with "from" and "value"."""
    return any(map(_begins_with_conversations, source.heads("*.json", "*.jsonl")))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each record."""
    same_beginnings: Counter[str] = Counter()
    for member in source.reading("*.json", "*.jsonl"):
        for record in array_or_lines(member, warn):
            values = record.value if isinstance(record.value, list) else [record.value]
            for value in values:
                turns = value.get("conversations") if isinstance(value, Mapping) else None
                if not isinstance(turns, list) or not turns:
                    warn(record.location, 'has no list of "conversations"')
                    continue
                builder = TranscriptBuilder(_conversation_id(value, turns, same_beginnings))
                _add_turns(builder, turns, record.location, warn)
                title = one_line_title(value.get("title"))
                yield builder.build(
                    record.location,
                    builder.last,
                    options,
                    title=title,
                    metadata={"source": NAME},
                )


def _begins_with_conversations(head: str) -> bool:
    first = first_value(head)
    if not isinstance(first, Mapping):
        return _CUT.search(head) is not None
    turns = first.get("conversations")
    return (
        isinstance(turns, list)
        and bool(turns)
        and isinstance(turns[0], Mapping)
        and {"from", "value"} <= set(turns[0])
    )


def _conversation_id(
    value: Mapping[str, Any], turns: Sequence[Any], same_beginnings: Counter[str]
) -> str:
    parts = (value.get("id"), *_up_to_first_answer(turns))
    beginning = derived_id("", NAME, *map(canonical, parts))
    same_beginnings[beginning] += 1
    return derived_id("conv", beginning, str(same_beginnings[beginning]))


def _add_turns(
    builder: TranscriptBuilder, turns: Sequence[Any], location: Location, warn: Warn
) -> None:
    open_calls: Sequence[str] = ()
    for number, turn in enumerate(turns):
        if not (isinstance(turn, Mapping) and isinstance(turn.get("value"), str)):
            warn(location, f"turn {number + 1} has no text as its value")
            builder.skipped["invalid"] += 1
            continue
        message, open_calls = _message(turn, f"call_{number}", open_calls)
        name = speaker_name(str(turn.get("from"))) if message["role"] == "unknown" else None
        builder.add(message, parent=builder.last, name=name)


def _up_to_first_answer(turns: Sequence[Any]) -> Sequence[Any]:
    for number, turn in enumerate(turns):
        if isinstance(turn, Mapping) and _role(turn) == "assistant":
            return turns[: number + 1]
    return turns


def _role(turn: Mapping[str, Any]) -> str:
    """Return the role of the speaker, `unknown` if the word is not known."""
    speaker = turn.get("from")
    return _ROLES.get(speaker.lower(), "unknown") if isinstance(speaker, str) else "unknown"


def _message(
    turn: Mapping[str, Any], call_id: str, open_calls: Sequence[str]
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return (message, ids of the calls that wait for results); results come in order."""
    role, text = _role(turn), turn["value"]
    if turn.get("from") == "function_call":
        calls = _tool_calls(text, call_id)
        if calls:
            message = {"role": role, "content": None, "tool_calls": calls}
            return message, [call["id"] for call in calls]
    if role == "tool" and open_calls:
        return {"role": role, "tool_call_id": open_calls[0], "content": text}, open_calls[1:]
    return {"role": role, "content": text}, ()


def _tool_calls(text: str, call_id: str) -> list[dict[str, Any]]:
    """Return the calls that a text holds as JSON; [] if it is something else."""
    try:
        value = loads(text, max_nesting=32)
    except InvalidRequest:
        return []
    calls = value if isinstance(value, list) else [value]
    if not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        return []
    return [
        {
            "id": f"{call_id}_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": dumps(call.get("arguments") or {})},
        }
        for number, call in enumerate(calls)
    ]
