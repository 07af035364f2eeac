"""Checks of turns: the tree, the fields derived from their JSON, and tool groups."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import Conversation, Finding, NewTurn, Turn
from memory_service.items.conversation_items import ItemLimits, parse_item

_NO_LIMITS = ItemLimits(max_text_chars=2**31, max_nesting=1_000, lenient=True)

_SMALLEST_TEXT_LIMIT = 100
"""The smallest MEMORY_MAX_TEXT_CHARS: longer texts of chat messages are cut to that setting."""

Unreadable = ValueError | InvalidRequest
"""The error for which the stored JSON of a turn cannot be parsed."""


def parse_stored(turns: Sequence[Turn]) -> dict[int, NewTurn | Unreadable]:
    """Return the turn parsed from each turn's JSON, or the error, by the turn's key."""
    return {turn.key: _parse(turn) for turn in turns}


def check_tree(conversation: Conversation, turns: Sequence[Turn]) -> Iterator[Finding]:
    """Check that the head's path leads to the root, and that its turns are marked active."""
    by_key = {turn.key: turn for turn in turns}
    path: set[int] = set()
    key = conversation.head_key
    while key is not None and key in by_key and key not in path:
        path.add(key)
        key = by_key[key].parent_key
    if key is not None:
        yield Finding("tree", conversation.id, "the active branch does not lead to the root")
    if {turn.key for turn in turns if turn.active} != path:
        yield Finding("tree", conversation.id, "active turns differ from the path of the head")
    if turns and turns[-1].seq >= conversation.next_seq:
        yield Finding("tree", conversation.id, "the next seq is in use already")


def check_turn(turn: Turn, parsed: NewTurn | Unreadable) -> Iterator[Finding]:
    """Check the stored fields of a turn against its JSON."""
    if not isinstance(parsed, NewTurn):
        problem = f"its JSON cannot be read: {type(parsed).__name__}"
        yield Finding("turns", turn.id, problem)
        return
    if not _is_text_of(turn, parsed) or (parsed.role, parsed.kind) != (turn.role, turn.kind):
        yield Finding("turns", turn.id, "text, role or kind differ from its JSON")
    if parsed.content_hash != turn.content_hash:
        yield Finding("turns", turn.id, "the content hash differs from its JSON")


def check_history_index(
    turns: Sequence[Turn],
    parsed: Mapping[int, NewTurn | Unreadable],
    hashes: Mapping[int, bytes],
) -> Iterator[Finding]:
    """Check that each turn is in the history index with the hash of its message."""
    for turn in turns:
        item = parsed[turn.key]
        if turn.key not in hashes:
            yield Finding("history index", turn.id, "the turn is missing")
        elif isinstance(item, NewTurn) and hashes[turn.key] != item.message_hash:
            yield Finding("history index", turn.id, "the hash differs from its JSON")


def check_tool_groups(
    turns: Sequence[Turn], parsed: Mapping[int, NewTurn | Unreadable]
) -> Iterator[Finding]:
    """Check that a tool call and its results are in one tool group."""
    groups_of_calls: dict[str, set[int | None]] = {}
    for turn in turns:
        item = parsed[turn.key]
        if not isinstance(item, NewTurn):
            continue
        if item.calls and turn.tool_group_key is None:
            yield Finding("tool groups", turn.id, "a tool call is in no tool group")
        if (
            item.answers in groups_of_calls
            and turn.tool_group_key not in groups_of_calls[item.answers]
        ):
            problem = "a tool result is not in the tool group of its call"
            yield Finding("tool groups", turn.id, problem)
        for call in item.calls:
            groups_of_calls.setdefault(call, set()).add(turn.tool_group_key)


def _is_text_of(turn: Turn, parsed: NewTurn) -> bool:
    """Return whether a turn has the text of its JSON, or the beginning of a very long one."""
    is_cut = len(turn.text) >= _SMALLEST_TEXT_LIMIT and parsed.text.startswith(turn.text)
    return is_cut or parsed.text == turn.text


def _parse(turn: Turn) -> NewTurn | Unreadable:
    try:
        return parse_item(json.loads(turn.raw), turn.raw, {"id": turn.id}, _NO_LIMITS, turn.id)
    except (ValueError, InvalidRequest) as error:
        return error
