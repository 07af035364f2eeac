"""OpenAI's messages as JSON: fine-tuning and batch lines, and bare lists of messages.

| record | its messages |
| --- | --- |
| `{"messages": […]}` | these |
| `{"input": {"messages": […]}, "preferred_output": […]}` | both, one after the other |
| `{"custom_id": …, "body": {"messages": […]}}`, a request of a batch | these; or `body.input` |
| `{"custom_id": …, "response": {"body": {"choices": […]}}}`, its answer | the first; or `output` |
| `[{"role": …, "content": …}, …]` | these |
| `{"role": …, "content": …}` | all such records of the file are one conversation |

A conversation carries no id, so one is made from what is said: from its beginning up to the first
answer; an item's, from the conversation and all items before it. A file that is read again, or has
grown at its end, so finds what is stored already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ingest.chains import Chain, time_of
from ingest.heads import first_value, records
from ingest.openai_items import metadata
from ingest.records import Record
from ingest.sources import Source
from ingest.transcripts import Options, Place, Transcript, Warn, derived_id
from memory_service.items.strict_json import canonical, raw_elements

NAME = "messages"
EXPECTS = 'JSON or JSON lines of {"messages": [{"role": "user", "content": "…"}, …]}'

_CUT = re.compile(r'^\s*\[?\s*\{[^\[]*"messages"\s*:\s*\[\s*\{\s*"(?:role|content)"\s*:')
"""What a first record has that is longer than a head."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A list of messages, each with its JSON if that is kept as it is, and what is said of it."""

    place: Place
    messages: Sequence[Any]
    raws: Sequence[str | None]
    created_at: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: {"source": NAME})
    others: int = 0


def sniff(source: Source) -> bool:
    """Return whether the first record is of one of the kinds above."""
    return any(map(_begins_so, source.heads("*.json", "*.jsonl")))


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield a conversation for each record that can be used."""
    seen: Counter[str] = Counter()
    for member in source.reading("*.json", "*.jsonl"):
        for is_bare, group in groupby(records(member, warn), lambda one: _is_message(one.value)):
            if is_bare:
                yield _transcript(_of_lines(list(group)), seen, options)
                continue
            for record in group:
                for found in _of_record(record, warn):
                    yield _transcript(found, seen, options)


def _begins_so(head: str) -> bool:
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


def _of_lines(lines: Sequence[Record]) -> _Found:
    return _Found(lines[0].place, [one.value for one in lines], [one.text for one in lines])


def _of_record(record: Record, warn: Warn) -> Iterator[_Found]:
    """Yield the messages of a record, or of each record in an array of them."""
    value = record.value
    if isinstance(value, list) and not all(map(_is_message, value)):
        for one in value:
            yield from _of_record(Record(record.place, one, ""), warn)
        return
    messages: list[Any] | None = value if isinstance(value, list) else _messages_of(value)
    if not messages:
        warn(record.place, _problem(value))
        return
    answer = _answer(value)
    yield _Found(
        record.place,
        messages,
        _raws(record, messages),
        created_at=time_of(answer.get("created", answer.get("created_at"))),
        metadata=metadata(
            {
                "source": NAME,
                "custom_id": value.get("custom_id") if isinstance(value, Mapping) else None,
                "model": (answer or _mapping(value, "body")).get("model"),
            }
        ),
        others=_others(value, answer),
    )


def _raws(record: Record, messages: Sequence[Any]) -> Sequence[str | None]:
    """Return the JSON of messages as it stands in the file; None where they are not at the top."""
    value = record.value
    is_top = isinstance(value, Mapping) and value.get("messages") is messages
    return (
        raw_elements(record.text, "messages") if is_top and record.text else [None] * len(messages)
    )


def _others(value: Any, answer: Mapping[str, Any]) -> int:
    """Return how many answers a record has beside the one that is taken."""
    choices = answer.get("choices")
    rejected = value.get("non_preferred_output") if isinstance(value, Mapping) else None
    return (max(len(choices) - 1, 0) if isinstance(choices, list) else 0) + (
        len(rejected) if isinstance(rejected, list) else 0
    )


def _messages_of(value: Any) -> list[Any] | None:
    """Return the messages of a record; None if it is of no kind that has any."""
    if not isinstance(value, Mapping):
        return None
    body = _mapping(value, "body")
    preferred = value.get("preferred_output")
    candidates = (
        value.get("messages"),
        _mapping(value, "input").get("messages"),
        body.get("messages"),
        _input(body.get("input")),
        _said(_answer(value)),
    )
    found = next((one for one in candidates if isinstance(one, list)), None)
    return [*found, *preferred] if found and isinstance(preferred, list) else found


def _input(given: Any) -> Any:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _answer(value: Any) -> Mapping[str, Any]:
    """Return the body of a batch's answer, of chat completions or of responses; else nothing."""
    return _mapping(_mapping(value, "response"), "body")


def _said(body: Mapping[str, Any]) -> list[Any] | None:
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
        error = _mapping(value, "error") or _mapping(_answer(value), "error")
        return f"is a request that failed: {str(error.get('message') or 'no answer')[:200]}"
    return "has no list of messages"


def _transcript(found: _Found, seen: Counter[str], options: Options) -> Transcript:
    beginning = derived_id("", *(canonical(one) for one in _beginning(found.messages)))
    seen[beginning] += 1
    chain = Chain(derived_id("conv", beginning, str(seen[beginning])))
    if found.others:
        chain.skipped["other answer"] = found.others
    end: str | None = None
    for message, raw in zip(found.messages, found.raws, strict=True):
        end = chain.add(message, parent=end, raw=raw, created_at=found.created_at)
    return Transcript(
        place=found.place,
        id=chain.conversation_id,
        items=chain.kept(end, options),
        head=end,
        metadata=found.metadata,
        created_at=found.created_at,
        skipped=chain.skipped,
    )


def _beginning(messages: Sequence[Any]) -> Sequence[Any]:
    for number, message in enumerate(messages):
        if isinstance(message, Mapping) and message.get("role") == "assistant":
            return messages[: number + 1]
    return messages
