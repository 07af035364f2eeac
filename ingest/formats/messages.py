"""OpenAI's messages as JSON lines: `{"messages": [{"role": …, "content": …}, …]}`.

A line is a conversation. It carries no ids, so they are made from what is said: the conversation's
from its beginning up to the first answer, an item's from the conversation and all items before it.
A file that is read again, or has grown at its end, so finds what is stored already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from ingest.transcripts import Item, Transcript, Warn, derived_id, lines
from memory_service.errors import InvalidRequest
from memory_service.items import ItemLimits, parse_item
from memory_service.strict_json import canonical, loads, raw_elements

NAME = "messages"
EXPECTS = 'JSON lines, each {"messages": [{"role": "user", "content": "…"}, …]}'

_LIMITS = ItemLimits(max_text_chars=2**31, max_nesting=64)


def sniff(head: str) -> bool:
    """Return whether the first line is an object with a list of messages."""
    first = head.lstrip("\ufeff \n").partition("\n")[0]
    return first.startswith("{") and '"messages"' in first and '"role"' in first


def parse(file: IO[str], warn: Warn) -> Iterator[Transcript]:
    """Yield a conversation for each line that can be used."""
    seen: Counter[str] = Counter()
    for record, line in lines(file):
        try:
            value = loads(line, max_nesting=_LIMITS.max_nesting)
        except InvalidRequest as error:
            warn(record, error.message)
            continue
        messages = value.get("messages") if isinstance(value, dict) else None
        if not isinstance(messages, list) or not messages:
            warn(record, "has no list of messages")
            continue
        transcript = _transcript(record, line, messages, seen, warn)
        yield transcript


def _transcript(
    record: int, line: str, messages: list[Any], seen: Counter[str], warn: Warn
) -> Transcript:
    beginning = derived_id("", *(canonical(one) for one in _beginning(messages)))
    seen[beginning] += 1
    conversation_id = derived_id("conv", beginning, str(seen[beginning]))
    items: list[Item] = []
    skipped: Counter[str] = Counter()
    parent: str | None = None
    for number, (message, raw) in enumerate(
        zip(messages, raw_elements(line, "messages"), strict=True)
    ):
        try:
            parse_item(message, raw, {"id": None}, _LIMITS, f"messages.{number}")
        except InvalidRequest as error:
            warn(record, error.message)
            skipped["invalid"] += 1
            continue
        item_id = derived_id("item", conversation_id, parent or "", canonical(message))
        items.append(Item(item_id, parent, raw))
        parent = item_id
    return Transcript(record, conversation_id, items, head=parent, skipped=skipped)


def _beginning(messages: list[Any]) -> list[Any]:
    for number, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "assistant":
            return messages[: number + 1]
    return messages
