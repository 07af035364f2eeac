"""OpenAI's messages as JSON: fine-tuning and batch lines, and bare lists of messages.

| record | its messages |
| --- | --- |
| `{"messages": […]}` | these |
| `{"input": {"messages": […]}, "preferred_output": […]}` | both, one after the other |
| `{"custom_id": …, "body": {"messages": […]}}`, a request of a batch | these; or `body.input` |
| `{"custom_id": …, "response": {"body": {"choices": […]}}}`, its answer | the first; or `output` |
| `[{"role": …, "content": …}, …]` | these |
| `{"role": …, "content": …}` | all such records of the file are one conversation |

A conversation has no id, so one is derived from its beginning, up to the first answer. An item's id
is derived from the conversation's and from all items before it. So a file that is read again, or
has grown at its end, gives the ids that are stored already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ingest.items.fields import metadata_of, utc_time
from ingest.records.beginnings import array_or_lines, first_value
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, Warn, derived_id
from ingest.trees.builder import TranscriptBuilder
from memory_service.items.strict_json import canonical, raw_elements

NAME = "messages"
EXPECTS = 'JSON or JSON lines of {"messages": [{"role": "user", "content": "…"}, …]}'

_CUT = re.compile(r'^\s*\[?\s*\{[^\[]*"messages"\s*:\s*\[\s*\{\s*"(?:role|content)"\s*:')
"""Matches a first record that is longer than a head."""


@dataclass(frozen=True, slots=True)
class _MessageList:
    """The messages of a conversation, with the record's other fields.

    `raws` are their unchanged JSON, None where it is not kept. `locations` are their own, None
    where one record holds all messages. `others` counts the answers that are left out.
    """

    location: Location
    messages: Sequence[Any]
    raws: Sequence[str | None]
    locations: Sequence[Location | None]
    created_at: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: {"source": NAME})
    others: int = 0


def sniff(source: ExportSource) -> bool:
    """Return whether the first record is of one of the kinds above."""
    return any(map(_begins_with_messages, source.heads("*.json", "*.jsonl")))


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield a conversation for each record that can be used."""
    same_beginnings: Counter[str] = Counter()
    for member in source.reading("*.json", "*.jsonl"):
        records = array_or_lines(member, warn)
        for is_bare, group in groupby(records, lambda record: _is_message(record.value)):
            if is_bare:
                yield _transcript(_of_bare_messages(list(group)), same_beginnings, options)
                continue
            for record in group:
                for messages in _of_record(record, warn):
                    yield _transcript(messages, same_beginnings, options)


def _begins_with_messages(head: str) -> bool:
    first = first_value(head)
    if first is None:
        return _CUT.search(head) is not None
    if isinstance(first, list):
        return bool(first) and all(map(_is_message, first))
    return _is_message(first) or _messages_of(first) is not None


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("role"), str)
        and ("content" in value or "tool_calls" in value or "function_call" in value)
    )


def _of_bare_messages(records: Sequence[JsonRecord]) -> _MessageList:
    return _MessageList(
        records[0].location,
        messages=[record.value for record in records],
        raws=[record.text for record in records],
        locations=[record.location for record in records],
    )


def _of_record(record: JsonRecord, warn: Warn) -> Iterator[_MessageList]:
    """Yield the messages of a record, or of each record in an array of them."""
    value = record.value
    if isinstance(value, list) and not all(map(_is_message, value)):
        for element in value:
            yield from _of_record(JsonRecord(record.location, element, ""), warn)
        return
    messages: list[Any] | None = value if isinstance(value, list) else _messages_of(value)
    if not messages:
        warn(record.location, _problem(value))
        return
    answer = _batch_answer(value)
    yield _MessageList(
        record.location,
        messages,
        _raws(record, messages),
        [None] * len(messages),
        created_at=utc_time(answer.get("created", answer.get("created_at"))),
        metadata=metadata_of(
            {
                "source": NAME,
                "custom_id": value.get("custom_id") if isinstance(value, Mapping) else None,
                "model": (answer or _mapping(value, "body")).get("model"),
            }
        ),
        others=_count_other_answers(value, answer),
    )


def _raws(record: JsonRecord, messages: Sequence[Any]) -> Sequence[str | None]:
    """Return the unchanged JSON of messages; None where they are nested deeper."""
    value = record.value
    is_top = isinstance(value, Mapping) and value.get("messages") is messages
    return (
        raw_elements(record.text, "messages") if is_top and record.text else [None] * len(messages)
    )


def _count_other_answers(value: Any, answer: Mapping[str, Any]) -> int:
    """Return how many other answers a record has."""
    choices = answer.get("choices")
    rejected = value.get("non_preferred_output") if isinstance(value, Mapping) else None
    return (max(len(choices) - 1, 0) if isinstance(choices, list) else 0) + (
        len(rejected) if isinstance(rejected, list) else 0
    )


def _messages_of(value: Any) -> list[Any] | None:
    """Return the messages of a record; None if no kind of record matches."""
    if not isinstance(value, Mapping):
        return None
    body = _mapping(value, "body")
    preferred = value.get("preferred_output")
    candidates = (
        value.get("messages"),
        _mapping(value, "input").get("messages"),
        body.get("messages"),
        _input_messages(body.get("input")),
        _answer_messages(_batch_answer(value)),
    )
    messages = next((candidate for candidate in candidates if isinstance(candidate, list)), None)
    return [*messages, *preferred] if messages and isinstance(preferred, list) else messages


def _input_messages(given: Any) -> Any:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _batch_answer(value: Any) -> Mapping[str, Any]:
    """Return the body of a batch's answer, of chat completions or of responses; else {}."""
    return _mapping(_mapping(value, "response"), "body")


def _answer_messages(body: Mapping[str, Any]) -> list[Any] | None:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return [choices[0].get("message")]
    output = body.get("output")
    return output if isinstance(output, list) else None


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _problem(value: Any) -> str:
    if isinstance(value, Mapping) and "custom_id" in value and "response" in value:
        error = _mapping(value, "error") or _mapping(_batch_answer(value), "error")
        return f"is a request that failed: {str(error.get('message') or 'no answer')[:200]}"
    return "has no list of messages"


def _transcript(
    source: _MessageList, same_beginnings: Counter[str], options: FormatOptions
) -> Transcript:
    beginning = derived_id("", *map(canonical, _up_to_first_answer(source.messages)))
    same_beginnings[beginning] += 1
    builder = TranscriptBuilder(derived_id("conv", beginning, str(same_beginnings[beginning])))
    if source.others:
        builder.skipped["other answer"] = source.others
    for message, raw, location in zip(source.messages, source.raws, source.locations, strict=True):
        builder.add(
            message,
            parent=builder.last,
            raw=raw,
            created_at=source.created_at,
            location=location,
        )
    return builder.build(
        source.location,
        builder.last,
        options,
        metadata=source.metadata,
        created_at=source.created_at,
    )


def _up_to_first_answer(messages: Sequence[Any]) -> Sequence[Any]:
    for number, message in enumerate(messages):
        if isinstance(message, Mapping) and message.get("role") == "assistant":
            return messages[: number + 1]
    return messages
