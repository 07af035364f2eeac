"""OpenAI's messages as JSON lines: `{"messages": [{"role": …, "content": …}, …]}`.

A line is a conversation. It carries no ids, so they are made from what is said: the conversation's
from its beginning up to the first answer, an item's from the conversation and all items before it.
A file that is read again, or has grown at its end, so finds what is stored already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ingest.records import Record, json_lines
from ingest.sources import Source
from ingest.transcripts import Item, Options, Transcript, Warn, derived_id
from memory_service.strict_json import canonical, raw_elements

NAME = "messages"
EXPECTS = 'JSON lines, each {"messages": [{"role": "user", "content": "…"}, …]}'


def sniff(source: Source) -> bool:
    """Return whether a first line is an object with a list of messages."""
    return any(_begins_so(head) for head in source.heads("*.jsonl"))


def parse(source: Source, _options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield a conversation for each line that can be used."""
    seen: Counter[str] = Counter()
    for member in source.reading("*.jsonl"):
        for record in json_lines(member, warn):
            messages = record.value.get("messages") if isinstance(record.value, dict) else None
            if isinstance(messages, list) and messages:
                yield _transcript(record, messages, seen)
            else:
                warn(record.place, "has no list of messages")


def _begins_so(head: str) -> bool:
    first = head.lstrip().partition("\n")[0]
    return first.startswith("{") and '"messages"' in first and '"role"' in first


def _transcript(record: Record, messages: list[Any], seen: Counter[str]) -> Transcript:
    beginning = derived_id("", *(canonical(one) for one in _beginning(messages)))
    seen[beginning] += 1
    conversation_id = derived_id("conv", beginning, str(seen[beginning]))
    items: list[Item] = []
    parent: str | None = None
    for message, raw in zip(messages, raw_elements(record.text, "messages"), strict=True):
        item_id = derived_id("item", conversation_id, parent or "", canonical(message))
        items.append(Item(item_id, parent, raw))
        parent = item_id
    return Transcript(record.place, conversation_id, items, head=parent)


def _beginning(messages: list[Any]) -> list[Any]:
    for number, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "assistant":
            return messages[: number + 1]
    return messages
