"""ShareGPT's conversations: `{"conversations": [{"from": "human", "value": "…"}, …]}`.

A file is a JSON array of them, or JSON lines. Ids are of little use, as every file counts from 0:
so a conversation is known by its id and its beginning together, up to the first answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingest.chains import Chain, speaker, title
from ingest.heads import first_value, records
from ingest.sources import Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id
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
"""What a first record has that is longer than a head."""


def sniff(source: Source) -> bool:
    """Return whether the first record has a list of turns with "from" and "value"."""
    return any(map(_begins_so, source.heads("*.json", "*.jsonl")))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversation of each record."""
    seen: Counter[str] = Counter()
    for member in source.reading("*.json", "*.jsonl"):
        for record in records(member, warn):
            values = record.value if isinstance(record.value, list) else [record.value]
            for value in values:
                turns = value.get("conversations") if isinstance(value, Mapping) else None
                if isinstance(turns, list) and turns:
                    yield _transcript(value, turns, record.place, seen, options, warn)
                else:
                    warn(record.place, 'has no list of "conversations"')


def _begins_so(head: str) -> bool:
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


def _transcript(
    value: Mapping[str, Any],
    turns: Sequence[Any],
    place: Place,
    seen: Counter[str],
    options: Options,
    warn: Warn,
) -> Transcript:
    name = canonical(value.get("id"))
    beginning = derived_id("", NAME, name, *(canonical(turn) for turn in _beginning(turns)))
    seen[beginning] += 1
    chain = Chain(derived_id("conv", beginning, str(seen[beginning])))
    end: str | None = None
    calls: list[str] = []
    for number, turn in enumerate(turns):
        if not (isinstance(turn, Mapping) and isinstance(turn.get("value"), str)):
            warn(place, f"turn {number + 1} has no text as its value")
            chain.skipped["invalid"] += 1
            continue
        message, calls = _message(turn, f"call_{number}", calls)
        stranger = speaker(str(turn.get("from"))) if message["role"] == "unknown" else None
        end = chain.add(message, parent=end, name=stranger)
    return Transcript(
        place=place,
        id=chain.conversation_id,
        items=chain.kept(end, options),
        head=end,
        title=title(value.get("title")),
        metadata={"source": NAME},
        skipped=chain.skipped,
    )


def _beginning(turns: Sequence[Any]) -> Sequence[Any]:
    for number, turn in enumerate(turns):
        if isinstance(turn, Mapping) and _role(turn) == "assistant":
            return turns[: number + 1]
    return turns


def _role(turn: Mapping[str, Any]) -> str:
    """Return the role of who speaks; of somebody that is not known, `unknown`."""
    said_by = turn.get("from")
    return _ROLES.get(said_by.lower(), "unknown") if isinstance(said_by, str) else "unknown"


def _message(
    turn: Mapping[str, Any], call_id: str, calls: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return (message, ids of calls that wait for their results); results come in order."""
    role, text = _role(turn), turn["value"]
    if turn.get("from") == "function_call":
        wanted = _calls(text, call_id)
        if wanted:
            message = {"role": role, "content": None, "tool_calls": wanted}
            return message, [call["id"] for call in wanted]
    if role == "tool" and calls:
        return {"role": role, "tool_call_id": calls[0], "content": text}, calls[1:]
    return {"role": role, "content": text}, []


def _calls(text: str, call_id: str) -> list[dict[str, Any]]:
    """Return the calls that a text holds as JSON; none if it is not that."""
    try:
        value = loads(text, max_nesting=32)
    except InvalidRequest:
        return []
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in found):
        return []
    return [
        {
            "id": f"{call_id}_{number}",
            "type": "function",
            "function": {"name": one["name"], "arguments": dumps(one.get("arguments") or {})},
        }
        for number, one in enumerate(found)
    ]
