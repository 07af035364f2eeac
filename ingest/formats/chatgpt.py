"""ChatGPT's data export: `conversations.json` (or its shards), bare, in a folder or in its ZIP.

A conversation is a `mapping` of nodes. The live thread is the path from `current_node` to the root.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ingest import openai_items
from ingest.openai_items import microseconds, rfc3339
from ingest.records import Record, json_records
from ingest.sources import Source
from ingest.transcripts import Options, Transcript, Warn, derived_id
from ingest.tree import Node, Said, grow
from memory_service.items.conversation_items import ROLES
from memory_service.items.fields import ID_PATTERN, MAX_NAME_CHARS

NAME = "chatgpt"
EXPECTS = 'ChatGPT\'s export: its ZIP, its folder or conversations.json ([{"mapping": {…}}, …])'

_FILES = ("conversations.json", "conversations-*.json", "conversations_*.json")
_ID = re.compile(ID_PATTERN)
_MAX_TITLE_CHARS = 1_000
_CONTEXTS = ("user_editable_context", "model_editable_context")
_THOUGHTS = ("thoughts", "reasoning_recap")


def sniff(source: Source) -> bool:
    """Return whether a file of conversations has mappings of nodes."""
    return any(
        head.lstrip()[:1] in ("[", "{") and '"mapping"' in head for head in source.heads(*_FILES)
    )


def parse(source: Source, options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    seen: Counter[str] = Counter()
    for member in source.reading(*_FILES):
        for record in json_records(member, warn, under=("conversations",)):
            value = record.value
            if not isinstance(value, dict) or not isinstance(value.get("mapping"), dict):
                warn(record.place, "is no conversation: it has no 'mapping' of messages")
            else:
                yield _transcript(record, value, options, seen, warn)


def _transcript(
    record: Record, value: dict[str, Any], options: Options, seen: Counter[str], warn: Warn
) -> Transcript:
    conversation_id = _conversation_id(value, seen)
    nodes = _nodes(value["mapping"], options, lambda message: warn(record.place, message))
    current = value.get("current_node")
    begun = microseconds(value.get("create_time"))
    grown = grow(
        conversation_id,
        nodes,
        current if isinstance(current, str) else None,
        all_branches=options.branches == "all",
        begun=begun,
    )
    title = value.get("title")
    return Transcript(
        place=record.place,
        id=conversation_id,
        items=grown.items,
        head=grown.head,
        title=openai_items.storable(title)[:_MAX_TITLE_CHARS] if isinstance(title, str) else None,
        metadata=openai_items.metadata(
            {
                "source": NAME,
                "model": value.get("default_model_slug"),
                "project": value.get("conversation_template_id") or value.get("gizmo_id"),
                "archived": "true" if value.get("is_archived") is True else None,
                "starred": "true" if value.get("is_starred") is True else None,
                "updated_at": rfc3339(microseconds(value.get("update_time"))),
            }
        ),
        created_at=rfc3339(begun),
        skipped=grown.skipped,
    )


def _conversation_id(value: Mapping[str, Any], seen: Counter[str]) -> str:
    for key in ("conversation_id", "id"):
        given = value.get(key)
        if isinstance(given, str) and given:
            return given if _ID.fullmatch(given) else derived_id("conv", given)
    # Without an id: by its beginning, and of several that begin alike by their order.
    beginning = derived_id("", str(value.get("create_time")), *list(value["mapping"])[:2])
    seen[beginning] += 1
    return derived_id("conv", beginning, str(seen[beginning]))


def _nodes(mapping: Mapping[str, Any], options: Options, warn: Callable[[str], None]) -> list[Node]:
    nodes: list[Node] = []
    for key, entry in mapping.items():
        if not isinstance(entry, dict):
            warn(f"its node {key[:80]!r} is no object")
            nodes.append(Node(key, None))
            continue
        parent = entry.get("parent")
        nodes.append(_node(key, parent if isinstance(parent, str) else None, entry, options))
    _hang_up(nodes, mapping)
    return nodes


def _hang_up(nodes: Sequence[Node], mapping: Mapping[str, Any]) -> None:
    """Give parents to nodes without: what lists them as children, else the node before.

    Tools that thin exports out leave only the order of the nodes.
    """
    listed = {
        child: key
        for key, entry in mapping.items()
        if isinstance(entry, dict) and isinstance(entry.get("children"), list)
        for child in entry["children"]
        if isinstance(child, str)
    }
    for node in nodes:
        if node.parent not in mapping:
            node.parent = listed.get(node.id)
    if len(nodes) > 1 and all(node.parent is None for node in nodes):
        for before, node in pairwise(nodes):
            node.parent = before.id


def _node(key: str, parent: str | None, entry: Mapping[str, Any], options: Options) -> Node:
    message = entry.get("message")
    if not isinstance(message, dict):
        return Node(key, parent)
    node = Node(key, parent, microseconds(message.get("create_time")))
    author = _object(message, "author")
    content = _object(message, "content")
    kind = str(content.get("content_type"))
    details = _object(message, "metadata")
    role = str(author.get("role"))
    if kind in _THOUGHTS and not options.reasoning:
        node.skipped = "reasoning"
    elif kind not in _CONTEXTS and message.get("weight") == 0:
        node.skipped = "weight zero"
    elif (
        kind not in _CONTEXTS
        and role == "system"
        and details.get("is_visually_hidden_from_conversation") is True
    ):
        node.skipped = "hidden"
    elif role not in ROLES:
        node.skipped = "unknown role"
    else:
        node.said = _said(role, kind, author, content, message, details)
        if node.said is None:
            node.skipped = "empty"
    return node


def _said(
    role: str,
    kind: str,
    author: Mapping[str, Any],
    content: Mapping[str, Any],
    message: Mapping[str, Any],
    details: Mapping[str, Any],
) -> Said | None:
    texts = [text for text in _texts(kind, content, details) if text.strip()]
    if not texts:
        return None
    name = author.get("name")
    recipient = message.get("recipient")
    to_tool = isinstance(recipient, str) and recipient not in ("all", "")
    said = Said(
        kind="message",
        role=role,
        texts=texts,
        name=name[:MAX_NAME_CHARS] if isinstance(name, str) and name.strip() else None,
        ends_turn=message.get("end_turn") is True,
        metadata={
            "message_id": message.get("id"),
            "content_type": kind if kind not in ("text", "None") else None,
            "model": details.get("model_slug"),
            "attachments": ", ".join(_attachment_names(details)),
            "url": content.get("url"),
        },
    )
    if kind in _THOUGHTS:
        said.kind = "reasoning"
    elif role == "tool":
        said.kind, said.tool, said.name = "output", said.name or "", None
    elif role == "assistant" and (to_tool or kind == "code"):
        said.kind, said.arguments = "call", "\n".join(texts)
        said.tool = str(recipient) if to_tool else "python"
    return said


def _texts(kind: str, content: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a content says, by its type; of an unknown type, whatever text it has."""
    if kind == "thoughts":
        for thought in _list(content, "thoughts"):
            if isinstance(thought, dict):
                yield "\n".join(_strings(thought, "summary", "content"))
    elif kind in _CONTEXTS:
        yield from _strings(
            content, "user_profile", "user_instructions", "model_set_context", "repo_summary"
        )
    elif kind == "tether_quote":
        yield "\n".join(_strings(content, "title", "url", "text"))
    else:
        yield from _parts(content, details)
        yield from _strings(content, "text", "result", "summary", "content")
    yield from _attachments(content, details)


def _parts(content: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    parts = _list(content, "parts")
    transcribed = any(
        isinstance(part, dict) and part.get("content_type") == "audio_transcription"
        for part in parts
    )
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            kind = str(part.get("content_type"))
            if kind == "image_asset_pointer":
                yield _image(part, details)
            elif "audio" in kind and kind != "audio_transcription":
                # The sound of words that stand beside it says nothing more.
                if not transcribed:
                    yield "[audio]"
            elif "video" in kind:
                yield "[video]"
            else:
                yield from _strings(part, "text", "content", "result")


def _image(part: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    own = _object(part, "metadata")
    said = [
        *_strings(part, "caption", "alt_text"),
        *_strings(_object(own, "dalle"), "prompt"),
        *_strings(_object(own, "generation"), "prompt"),
        *_strings(own, "caption", "prompt"),
    ]
    pointer = str(part.get("asset_pointer")).rpartition("/")[2]
    names = [
        str(one.get("name")) for one in _list(details, "attachments") if _is_file(one, pointer)
    ]
    caption = next(iter([*said, *names]), "")
    return f"[image: {caption}]" if caption else "[image]"


def _attachments(content: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    """Yield a marker for each file that came with a message and is not shown in it."""
    pointers = [
        str(part.get("asset_pointer")).rpartition("/")[2]
        for part in _list(content, "parts")
        if isinstance(part, dict)
    ]
    for one in _list(details, "attachments"):
        if isinstance(one, dict) and not any(_is_file(one, pointer) for pointer in pointers):
            yield f"[file: {one.get('name') or 'without a name'}]"


def _attachment_names(details: Mapping[str, Any]) -> list[str]:
    return [
        str(one["name"])
        for one in _list(details, "attachments")
        if isinstance(one, dict) and one.get("name")
    ]


def _is_file(attachment: Any, pointer: str) -> bool:
    return isinstance(attachment, dict) and bool(pointer) and attachment.get("id") == pointer


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _strings(value: Mapping[str, Any], *keys: str) -> list[str]:
    return [text for key in keys if isinstance(text := value.get(key), str) and text.strip()]
