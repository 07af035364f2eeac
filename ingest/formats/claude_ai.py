"""Claude.ai's data export: `conversations.json`, bare, in a folder or in its ZIP.

A conversation is a list of `chat_messages`. Where they name their parents it is a tree, and what
was written last is live; else it is as long as the list. The words of a message are in its
`content` blocks or in its flat `text`, whichever has them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingest import openai_items
from ingest.openai_items import microseconds, rfc3339
from ingest.records import Record, json_records
from ingest.sources import Source
from ingest.transcripts import Options, Transcript, Warn, derived_id
from ingest.tree import Node, Said, grow
from memory_service.items.fields import ID_PATTERN
from memory_service.items.strict_json import dumps

NAME = "claude_ai"
EXPECTS = (
    'Claude.ai\'s export: its ZIP, its folder or conversations.json ([{"chat_messages": […]}])'
)

_FILES = ("conversations.json", "conversations-*.json", "conversations_*.json")
_WRAPPERS = ("conversations", "chats", "data")
_ROLES = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_ID = re.compile(ID_PATTERN)
_MAX_TITLE_CHARS = 1_000


def sniff(source: Source) -> bool:
    """Return whether a file of conversations has chat messages."""
    return any(
        head.lstrip()[:1] in ("[", "{") and '"chat_messages"' in head
        for head in source.heads(*_FILES)
    )


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    for member in source.reading(*_FILES):
        for record in json_records(member, warn, under=_WRAPPERS):
            value = record.value
            if not isinstance(value, dict) or not isinstance(value.get("chat_messages"), list):
                warn(record.place, "is no conversation: it has no list of 'chat_messages'")
            else:
                yield _transcript(record, value, options, warn)


def _transcript(
    record: Record, value: Mapping[str, Any], options: Options, warn: Warn
) -> Transcript:
    messages: list[Mapping[str, Any]] = []
    broken = 0
    for number, message in enumerate(value["chat_messages"], start=1):
        if isinstance(message, dict):
            messages.append(message)
        else:
            warn(record.place, f"its message {number} is no object")
            broken += 1
    conversation_id = _conversation_id(value, messages)
    begun = microseconds(value.get("created_at"))
    grown = grow(
        conversation_id,
        _nodes(messages, options),
        _first_text(value, "current_leaf_message_uuid"),
        all_branches=options.branches == "all",
        begun=begun,
    )
    title = value.get("name")
    return Transcript(
        place=record.place,
        id=conversation_id,
        items=grown.items,
        head=grown.head,
        title=openai_items.storable(title)[:_MAX_TITLE_CHARS]
        if isinstance(title, str) and title
        else None,
        metadata=openai_items.metadata(
            {
                "source": NAME,
                "model": value.get("model"),
                "project": _project(value),
                "summary": value.get("summary"),
                "updated_at": rfc3339(microseconds(value.get("updated_at"))),
            }
        ),
        created_at=rfc3339(begun),
        skipped={**grown.skipped, **({"broken": broken} if broken else {})},
    )


def _conversation_id(value: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    given = _first_text(value, "uuid", "id")
    if given is not None:
        return given if _ID.fullmatch(given) else derived_id("conv", given)
    beginning = dumps([value.get("created_at"), *messages[:2]])
    return derived_id("conv", beginning)


def _project(value: Mapping[str, Any]) -> str | None:
    project = value.get("project")
    named = _first_text(project, "name", "uuid") if isinstance(project, dict) else None
    return named or _first_text(value, "project_uuid")


def _nodes(messages: Sequence[Mapping[str, Any]], options: Options) -> list[Node]:
    """Return a chain of nodes for each message, one a block, hung below its parent's chain."""
    seen: Counter[str] = Counter()
    chains: list[list[Node]] = []
    for number, message in enumerate(messages):
        given = _first_text(message, "uuid", "id") or f"message {number}"
        seen[given] += 1
        own = given if seen[given] == 1 else f"{given} {seen[given]}"
        chains.append(_chain(own, message, options))
    ends = {chain[0].id: chain[-1].id for chain in chains}
    parents = [_first_text(message, "parent_message_uuid") for message in messages]
    branched = any(parent in ends for parent in parents)
    for before, chain, parent in zip(chains, chains[1:], parents[1:], strict=False):
        hangs_on = branched and parent is not None
        chain[0].parent = ends.get(str(parent)) if hangs_on else before[-1].id
    return [node for chain in chains for node in chain]


def _chain(message_id: str, message: Mapping[str, Any], options: Options) -> list[Node]:
    time = microseconds(message.get("created_at"))
    role = _ROLES.get(str(message.get("sender") or message.get("role")))
    if role is None:
        return [Node(message_id, None, time, skipped="unknown role")]
    nodes: list[Node] = []
    for said in _said(role, message):
        key = f"{message_id}#{len(nodes)}" if nodes else message_id
        node = Node(key, nodes[-1].id if nodes else None, time)
        if said.kind == "reasoning" and not options.reasoning:
            node.skipped = "reasoning"
        else:
            node.said = said
        nodes.append(node)
    return nodes or [Node(message_id, None, time, skipped="empty")]


def _said(role: str, message: Mapping[str, Any]) -> Iterator[Said]:
    """Yield what a message says: neighbouring texts together, every other block by itself."""
    files = list(_files(message))
    metadata = {
        "message_id": message.get("uuid"),
        "attachments": ", ".join(name for name, _ in files),
    }
    blocks = message.get("content")
    found = list(_of_blocks(blocks, role)) if isinstance(blocks, list) else []
    flat = _first_text(message, "text") or (blocks if isinstance(blocks, str) else "")
    if flat.strip() and all(said.kind == "reasoning" for said in found):
        found.append(Said("message", role, [flat]))
    markers = [text for _, text in files]
    if markers:
        texts = next((said for said in found if said.kind == "message"), None)
        if texts is None:
            found.append(Said("message", role, markers))
        else:
            texts.texts = [*texts.texts, *markers]
    for said in found:
        said.metadata = {**metadata, **said.metadata}
        yield said


def _of_blocks(blocks: Sequence[Any], role: str) -> Iterator[Said]:
    texts: list[str] = []
    for block in blocks:
        if not isinstance(block, dict):
            continue
        said = _of_block(block, role)
        if said is None or not any(text.strip() for text in said.texts):
            continue
        if said.kind == "message":
            texts.extend(said.texts)
            continue
        if texts:
            yield Said("message", role, texts)
            texts = []
        yield said
    if texts:
        yield Said("message", role, texts)


def _of_block(block: Mapping[str, Any], role: str) -> Said | None:
    kind = block.get("type")
    if kind in ("thinking", "redacted_thinking"):
        return Said("reasoning", role, _texts(block.get("thinking")))
    if kind == "tool_use":
        arguments = block.get("input")
        return Said(
            "call",
            role,
            [dumps(arguments)],
            tool=str(block.get("name") or "tool"),
            arguments=arguments,
            call_id=_first_text(block, "id"),
        )
    if kind == "tool_result":
        texts = _texts(block.get("content"))
        return Said(
            "output",
            "tool",
            texts or ["(no output)"],
            tool=str(block.get("name") or ""),
            call_id=_first_text(block, "tool_use_id"),
            metadata={"is_error": "true" if block.get("is_error") is True else None},
        )
    if kind == "image":
        return Said("message", role, ["[image]"])
    return Said("message", role, _texts(block))


def _texts(content: Any) -> list[str]:
    """Return the words of a block's content: a string, a block, or a list of them."""
    if isinstance(content, str):
        return [content] if content.strip() else []
    if isinstance(content, list):
        return [text for one in content for text in _texts(one)]
    if not isinstance(content, dict):
        return []
    if content.get("type") == "image":
        return ["[image]"]
    found = "\n".join(
        text
        for key in ("title", "url", "text")
        if isinstance(text := content.get(key), str) and text.strip()
    )
    return [found] if found else []


def _files(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, what to say of it) of everything that came with a message."""
    for key in ("attachments", "files"):
        entries = message.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                name = _first_text(entry, "file_name", "name") or "without a name"
                extracted = _first_text(entry, "extracted_content")
                yield name, f"[file: {name}]" + (f"\n{extracted}" if extracted else "")


def _first_text(value: Mapping[str, Any], *keys: str) -> str | None:
    return next((text for key in keys if isinstance(text := value.get(key), str) and text), None)
