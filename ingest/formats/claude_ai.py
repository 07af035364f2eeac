"""Claude.ai's data export: `conversations.json`, bare, in a folder or in its ZIP.

A conversation is a list of `chat_messages`. If they name their parents, it is a tree, and the
branch that was written last is active; else it has one branch. The text of a message is in its
`content` blocks or in its flat `text`, and the other one is empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.items.fields import metadata_of, microseconds, rfc3339, storable
from ingest.records.arrays import json_records
from ingest.records.parsing import JsonRecord
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Transcript, Warn, derived_id
from ingest.trees.nodes import NodeContent, TreeNode
from ingest.trees.tree_items import tree_items
from memory_service.items.fields import ID_PATTERN
from memory_service.items.strict_json import dumps

NAME = "claude_ai"
EXPECTS = (
    'Claude.ai\'s export: its ZIP, its folder or conversations.json ([{"chat_messages": […]}])'
)

Json = Mapping[str, Any]

_FILES = ("conversations.json", "conversations-*.json", "conversations_*.json")
_WRAPPERS = ("conversations", "chats", "data")
_ROLES = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_ID = re.compile(ID_PATTERN)
_MAX_TITLE_CHARS = 1_000


def sniff(source: ExportSource) -> bool:
    """Return whether a file of conversations has chat messages."""
    return any(
        head.lstrip()[:1] in ("[", "{") and '"chat_messages"' in head
        for head in source.heads(*_FILES)
    )


def parse(source: ExportSource, options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    for member in source.reading(*_FILES):
        for record in json_records(member, warn, under=_WRAPPERS):
            value = record.value
            if not isinstance(value, dict) or not isinstance(value.get("chat_messages"), list):
                warn(record.location, "is not a conversation: it has no list of 'chat_messages'")
            else:
                yield _transcript(record, options, warn)


def _transcript(record: JsonRecord, options: FormatOptions, warn: Warn) -> Transcript:
    value = record.value
    messages: list[Json] = []
    for number, message in enumerate(value["chat_messages"], start=1):
        if isinstance(message, dict):
            messages.append(message)
        else:
            warn(record.location, f"its message {number} is not an object")
    broken = len(value["chat_messages"]) - len(messages)
    conversation_id = _conversation_id(value, messages)
    begun = microseconds(value.get("created_at"))
    tree = tree_items(
        conversation_id,
        _nodes(messages, options),
        _first_text(value, "current_leaf_message_uuid"),
        all_branches=options.branches == "all",
        begun=begun,
    )
    title = _first_text(value, "name")
    return Transcript(
        location=record.location,
        id=conversation_id,
        items=tree.items,
        head=tree.head,
        title=None if title is None else storable(title)[:_MAX_TITLE_CHARS],
        metadata=_metadata(value),
        created_at=rfc3339(begun),
        skipped={**tree.skipped, **({"broken": broken} if broken else {})},
    )


def _metadata(value: Json) -> dict[str, str]:
    project = value.get("project")
    named = _first_text(project, "name", "uuid") if isinstance(project, dict) else None
    return metadata_of(
        {
            "source": NAME,
            "model": value.get("model"),
            "project": named or _first_text(value, "project_uuid"),
            "summary": value.get("summary"),
            "updated_at": rfc3339(microseconds(value.get("updated_at"))),
        }
    )


def _conversation_id(value: Json, messages: Sequence[Json]) -> str:
    given = _first_text(value, "uuid", "id")
    if given is not None:
        return given if _ID.fullmatch(given) else derived_id("conv", given)
    beginning = dumps([value.get("created_at"), *messages[:2]])
    return derived_id("conv", beginning)


def _nodes(messages: Sequence[Json], options: FormatOptions) -> list[TreeNode]:
    """Return a chain of nodes for each message, a node for each content block.

    The first node of a chain is below the last node of the parent's chain.
    """
    same_ids: Counter[str] = Counter()
    chains: list[list[TreeNode]] = []
    for number, message in enumerate(messages):
        given = _first_text(message, "uuid", "id") or f"message {number}"
        same_ids[given] += 1
        own = given if same_ids[given] == 1 else f"{given} {same_ids[given]}"
        chains.append(_chain(own, message, options))
    ends = {chain[0].id: chain[-1].id for chain in chains}
    parents = [_first_text(message, "parent_message_uuid") for message in messages]
    has_branches = any(parent in ends for parent in parents)
    nodes = list(chains[0]) if chains else []
    for before, chain, parent in zip(chains, chains[1:], parents[1:], strict=False):
        names_parent = has_branches and parent is not None
        above = ends.get(str(parent)) if names_parent else before[-1].id
        nodes += [replace(chain[0], parent=above), *chain[1:]]
    return nodes


def _chain(message_id: str, message: Json, options: FormatOptions) -> list[TreeNode]:
    time = microseconds(message.get("created_at"))
    role = _ROLES.get(str(message.get("sender") or message.get("role")))
    if role is None:
        return [TreeNode(message_id, None, time, skipped="unknown role")]
    nodes: list[TreeNode] = []
    for content in _contents(role, message):
        node_id = f"{message_id}#{len(nodes)}" if nodes else message_id
        above = nodes[-1].id if nodes else None
        is_skipped = content.kind == "reasoning" and not options.reasoning
        nodes.append(
            TreeNode(node_id, above, time, skipped="reasoning")
            if is_skipped
            else TreeNode(node_id, above, time, content)
        )
    return nodes or [TreeNode(message_id, None, time, skipped="empty")]


def _contents(role: str, message: Json) -> list[NodeContent]:
    """Return the contents of a message: adjacent texts together, every other block by itself."""
    files = list(_files(message))
    metadata = {
        "message_id": message.get("uuid"),
        "attachments": ", ".join(name for name, _ in files),
    }
    blocks = message.get("content")
    contents = list(_block_contents(blocks, role)) if isinstance(blocks, list) else []
    flat = _first_text(message, "text") or (blocks if isinstance(blocks, str) else "")
    if flat.strip() and all(content.kind == "reasoning" for content in contents):
        contents.append(NodeContent("message", role, [flat]))
    return [
        replace(content, metadata={**metadata, **content.metadata})
        for content in _with_markers(contents, role, [marker for _, marker in files])
    ]


def _with_markers(
    contents: Sequence[NodeContent], role: str, markers: Sequence[str]
) -> list[NodeContent]:
    """Return contents with the markers of files in the first message, or in one of their own."""
    if not markers:
        return list(contents)
    for number, content in enumerate(contents):
        if content.kind == "message":
            marked = replace(content, texts=[*content.texts, *markers])
            return [*contents[:number], marked, *contents[number + 1 :]]
    return [*contents, NodeContent("message", role, markers)]


def _block_contents(blocks: Sequence[Any], role: str) -> Iterator[NodeContent]:
    texts: list[str] = []
    for block in blocks:
        if not isinstance(block, dict):
            continue
        content = _block_content(block, role)
        if not any(text.strip() for text in content.texts):
            continue
        if content.kind == "message":
            texts.extend(content.texts)
            continue
        if texts:
            yield NodeContent("message", role, texts)
            texts = []
        yield content
    if texts:
        yield NodeContent("message", role, texts)


def _block_content(block: Json, role: str) -> NodeContent:
    kind = block.get("type")
    if kind in ("thinking", "redacted_thinking"):
        return NodeContent("reasoning", role, _texts(block.get("thinking")))
    if kind == "tool_use":
        arguments = block.get("input")
        return NodeContent(
            "call",
            role,
            [dumps(arguments)],
            tool=str(block.get("name") or "tool"),
            arguments=arguments,
            call_id=_first_text(block, "id"),
        )
    if kind == "tool_result":
        return NodeContent(
            "output",
            "tool",
            _texts(block.get("content")) or ["(no output)"],
            tool=str(block.get("name") or ""),
            call_id=_first_text(block, "tool_use_id"),
            metadata={"is_error": "true" if block.get("is_error") is True else None},
        )
    if kind == "image":
        return NodeContent("message", role, ["[image]"])
    return NodeContent("message", role, _texts(block))


def _texts(content: Any) -> list[str]:
    """Return the texts of a block's content: a string, a block, or a list of them."""
    if isinstance(content, str):
        return [content] if content.strip() else []
    if isinstance(content, list):
        return [text for part in content for text in _texts(part)]
    if not isinstance(content, dict):
        return []
    if content.get("type") == "image":
        return ["[image]"]
    joined = "\n".join(
        text
        for key in ("title", "url", "text")
        if isinstance(text := content.get(key), str) and text.strip()
    )
    return [joined] if joined else []


def _files(message: Json) -> Iterator[tuple[str, str]]:
    """Yield (name, marker with the extracted text) of each file that came with a message."""
    for key in ("attachments", "files"):
        entries = message.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                name = _first_text(entry, "file_name", "name") or "without a name"
                extracted = _first_text(entry, "extracted_content")
                yield name, f"[file: {name}]" + (f"\n{extracted}" if extracted else "")


def _first_text(value: Json, *keys: str) -> str | None:
    return next((text for key in keys if isinstance(text := value.get(key), str) and text), None)
