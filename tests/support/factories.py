"""Records for tests: each function fills in the fields that a test does not need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from memory_service.core.models import MICROSECONDS, Hit, NewTurn, Posting, Summary, Turn
from memory_service.items.chat_messages import MessageGroup
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.recall.ranking import Candidate
from memory_service.text.chunking import windows

LIMITS = ItemLimits(max_text_chars=10_000, max_nesting=64)
START = 1_700_000_000 * MICROSECONDS
"""2023-11-14T22:13:20Z: `make_turn` dates its turns from here on."""


class Words:
    """Counts words, so that tests can state exact numbers; `counted_texts` are the texts."""

    name = "words"

    def __init__(self) -> None:
        self.counted_texts: list[str] = []

    def count(self, text: str) -> int:
        """Return the words of a text."""
        self.counted_texts.append(text)
        return len(text.split())


class Characters:
    """Counts characters: with this counter, any added text has tokens."""

    name = "characters"

    def count(self, text: str) -> int:
        """Return the characters of a text."""
        return len(text)


def message(content: Any = "hello", role: str = "user", **fields: Any) -> dict[str, Any]:
    """Return a message item."""
    return {"role": role, "content": content, **fields}


def function_call(call_id: Any = "call_1", **fields: Any) -> dict[str, Any]:
    """Return a function call of the Responses API."""
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "look_up",
        "arguments": '{"city":"Oslo"}',
        **fields,
    }


def function_output(call_id: Any = "call_1", output: Any = "4 degrees") -> dict[str, Any]:
    """Return the result of a function call of the Responses API."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def chat_calls(*call_ids: str, content: str | None = None) -> dict[str, Any]:
    """Return an assistant message with tool calls, as chat completions has them."""
    function = {"name": "look_up", "arguments": '{"city":"Oslo"}'}
    calls = [{"id": call, "type": "function", "function": function} for call in call_ids]
    return message(content, "assistant", tool_calls=calls)


def chat_output(call_id: str = "call_1", content: str = "4 degrees") -> dict[str, Any]:
    """Return a tool message, as chat completions has them."""
    return message(content, "tool", tool_call_id=call_id)


def new_turn(item: Mapping[str, Any], *, raw: str | None = None, **stored_as: Any) -> NewTurn:
    """Return the checked turn of an item; `stored_as` overrides the item's own fields."""
    text = json.dumps(item) if raw is None else raw
    return parse_item(item, text, stored_as, LIMITS, "items.0")


def make_turn(item: Mapping[str, Any] | None = None, *, key: int = 1, **fields: Any) -> Turn:
    """Return the stored turn of an item: number `key` of a conversation with a turn per minute."""
    new = new_turn(message() if item is None else item)
    values = {
        "key": key,
        "id": new.id if new.id_given else f"item_{key}",
        "conversation_key": 1,
        "seq": key,
        "parent_key": key - 1 or None,
        "tool_group_key": None,
        "active": True,
        "gap_before": False,
        "kind": new.kind,
        "role": new.role,
        "name": new.name,
        "text": new.text,
        "raw": new.raw,
        "metadata": new.metadata,
        "created_at": START + key * 60 * MICROSECONDS,
        "utc_offset_minutes": new.utc_offset_minutes,
        "stored_at": START,
        "content_hash": new.content_hash,
    }
    return Turn(**{**values, **fields})


def make_path(items: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """Return the turns of a conversation, with the tool groups that the log gives them.

    A call and its results are a tool group, and so are calls that follow each other directly.
    """
    path: list[Turn] = []
    group_of_call: dict[str, int | None] = {}
    after_call: int | None = None
    for key, item in enumerate(items, start=1):
        new = new_turn(item)
        group = key if new.calls else group_of_call.get(new.answers or "")
        if new.calls and new.kind != "message":
            group = after_call = after_call or key
        else:
            after_call = None
        group_of_call.update(dict.fromkeys(new.calls, group))
        path.append(make_turn(item, key=key, tool_group_key=group))
    return path


def make_hit(text: str = "hello", *, key: int = 1, **fields: Any) -> Hit:
    """Return a hit on a whole user turn; fields that a hit does not have are fields of its turn."""
    own = {
        "start": 0,
        "end": len(text),
        "conversation_id": "conv_1",
        "user_id": None,
        "score": 1.0,
        "features": {},
        "rank": 1,
    }
    of_hit = {name: fields.pop(name) for name in own if name in fields}
    return Hit(turn=make_turn(message(text), key=key, **fields), **{**own, **of_hit})


def make_message_group(*items: Mapping[str, Any], first_key: int = 1) -> MessageGroup:
    """Return a group of consecutive turns whose messages are the items themselves."""
    turns = [make_turn(item, key=first_key + number) for number, item in enumerate(items)]
    return MessageGroup(turns, items)


def make_summary(text: str = "Anna likes tea.", *, key: int = 1, **fields: Any) -> Summary:
    """Return a summary of ten turns: number `key` of a conversation."""
    values: dict[str, Any] = {
        "key": key,
        "id": f"sum_{key}",
        "conversation_key": 1,
        "level": 1,
        "first_seq": key * 10 - 9,
        "last_seq": key * 10,
        "tip_key": key * 10,
        "began_at": START,
        "ended_at": START,
        "text": text,
        "model": "stand-in",
        "created_at": START,
        "vector": None,
    }
    return Summary(**{**values, **fields})


def make_candidate(key: int = 1, **fields: Any) -> Candidate:
    """Return a candidate at position `key` of one segment, with all features zero."""
    values: dict[str, Any] = {
        "turn_key": key,
        "segment": (1, 1),
        "position": key,
        "created_at": START + key,
        "vector": 0.0,
        "own_words": 0.0,
    }
    return Candidate(**{**values, **fields})


def make_posting(term: str, passage_key: int = 1, *, tf: int = 1, length: int = 10) -> Posting:
    """Return a term's occurrence in a passage."""
    return Posting.of(term, [(passage_key, tf, length)])


def cut(text: str, words: int, overlap: int) -> list[str]:
    """Return the texts of the windows that a text is cut into."""
    spans = windows(text, words=words, overlap=overlap)
    return [text[window.start : window.end] for window in spans]
