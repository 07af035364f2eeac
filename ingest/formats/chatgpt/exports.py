"""ChatGPT's data export: `conversations.json` (or its shards), bare, in a folder or in its ZIP.

A conversation is a `mapping` of nodes. The active branch is the path from the root to
`current_node`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ingest.formats.chatgpt.content import content_of, reason_to_skip
from ingest.items.fields import metadata_of, microseconds, rfc3339, storable
from ingest.records.arrays import json_records
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Transcript, Warn, derived_id
from ingest.trees.nodes import TreeNode
from ingest.trees.tree_items import tree_items
from memory_service.items.fields import ID_PATTERN

NAME = "chatgpt"
EXPECTS = 'ChatGPT\'s export: its ZIP, its folder or conversations.json ([{"mapping": {…}}, …])'

_FILES = ("conversations.json", "conversations-*.json", "conversations_*.json")
_ID = re.compile(ID_PATTERN)
_MAX_TITLE_CHARS = 1_000


def sniff(source: ExportSource) -> bool:
    """Return whether a file of conversations has mappings of nodes."""
    return any(
        head.lstrip()[:1] in ("[", "{") and '"mapping"' in head for head in source.heads(*_FILES)
    )


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    same_beginnings: Counter[str] = Counter()
    for member in source.reading(*_FILES):
        for record in json_records(member, warn, under=("conversations",)):
            value = record.value
            if not isinstance(value, dict) or not isinstance(value.get("mapping"), dict):
                warn(record.location, "is not a conversation: it has no 'mapping' of messages")
            else:
                conversation_id = _conversation_id(value, same_beginnings)
                yield _transcript(record, conversation_id, options, warn)


def _transcript(
    record: JsonRecord, conversation_id: str, options: FormatOptions, warn: Warn
) -> Transcript:
    value = record.value
    current, title = value.get("current_node"), value.get("title")
    begun = microseconds(value.get("create_time"))
    tree = tree_items(
        conversation_id,
        _nodes(value["mapping"], options, lambda message: warn(record.location, message)),
        current if isinstance(current, str) else None,
        all_branches=options.branches == "all",
        begun=begun,
    )
    return Transcript(
        location=record.location,
        id=conversation_id,
        items=tree.items,
        head=tree.head,
        title=storable(title)[:_MAX_TITLE_CHARS] if isinstance(title, str) else None,
        metadata=_metadata(value),
        created_at=rfc3339(begun),
        skipped=tree.skipped,
    )


def _metadata(value: Mapping[str, Any]) -> dict[str, str]:
    return metadata_of(
        {
            "source": NAME,
            "model": value.get("default_model_slug"),
            "project": value.get("conversation_template_id") or value.get("gizmo_id"),
            "archived": "true" if value.get("is_archived") is True else None,
            "starred": "true" if value.get("is_starred") is True else None,
            "updated_at": rfc3339(microseconds(value.get("update_time"))),
        }
    )


def _conversation_id(value: Mapping[str, Any], same_beginnings: Counter[str]) -> str:
    for key in ("conversation_id", "id"):
        given = value.get(key)
        if isinstance(given, str) and given:
            return given if _ID.fullmatch(given) else derived_id("conv", given)
    # Without an id: by its beginning and, if several begin alike, by their order.
    beginning = derived_id("", str(value.get("create_time")), *list(value["mapping"])[:2])
    same_beginnings[beginning] += 1
    return derived_id("conv", beginning, str(same_beginnings[beginning]))


def _nodes(
    mapping: Mapping[str, Any], options: FormatOptions, warn: Callable[[str], None]
) -> list[TreeNode]:
    nodes: list[TreeNode] = []
    for key, entry in mapping.items():
        if isinstance(entry, dict):
            nodes.append(_node(key, entry, options))
        else:
            warn(f"its node {key[:80]!r} is not an object")
            nodes.append(TreeNode(key, None))
    return _with_parents(nodes, mapping)


def _with_parents(nodes: Sequence[TreeNode], mapping: Mapping[str, Any]) -> list[TreeNode]:
    """Return nodes with parents: their own, else the node that lists them, else the one before.

    Tools that shorten exports leave only the order of the nodes.
    """
    listed = {
        child: key
        for key, entry in mapping.items()
        if isinstance(entry, dict) and isinstance(entry.get("children"), list)
        for child in entry["children"]
        if isinstance(child, str)
    }
    linked = [
        node if node.parent in mapping else replace(node, parent=listed.get(node.id))
        for node in nodes
    ]
    if len(linked) > 1 and all(node.parent is None for node in linked):
        return linked[:1] + [replace(node, parent=before.id) for before, node in pairwise(linked)]
    return linked


def _node(key: str, entry: Mapping[str, Any], options: FormatOptions) -> TreeNode:
    given, message = entry.get("parent"), entry.get("message")
    parent = given if isinstance(given, str) else None
    if not isinstance(message, dict):
        return TreeNode(key, parent)
    time = microseconds(message.get("create_time"))
    reason = reason_to_skip(message, with_reasoning=options.reasoning)
    if reason is not None:
        return TreeNode(key, parent, time, skipped=reason)
    content = content_of(message)
    return TreeNode(key, parent, time, content, skipped="empty" if content is None else None)
