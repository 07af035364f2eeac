"""Where the messages that a client sends belong in a stored conversation. Pure.

Clients of chat completions send the history again with every request: all of it, its end, an edited
one, or only what is new. What is stored already is found again, and only the rest is stored. The
table of docs/gateway.md says what each case means; what it does not decide is stored as new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.items.item_text import text_of_parts
from memory_service.items.strict_json import canonical

MAX_SKIPPED = 256
"""Turns of tool calls that a client may leave out between two messages."""

MAX_STARTS, MAX_RUNS = 32, 64
"""Places that are tried for a message which was said many times ("ok"): else the work is square."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that came; `id` is one that the client chose, if any."""

    said: bytes
    role: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A stored turn's place in the tree.

    Clients that resend the history may leave it out if it is `optional`: part of a tool call, or no
    message. It is `fresh` while a retry may mean it.
    """

    key: int
    parent_key: int | None
    seq: int
    active: bool
    role: str
    said: bytes
    id: str
    optional: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is stored already, and where the rest goes.

    The messages from `first_new` on are new and go below the turn `parent_key` (None: they begin
    the conversation). `matched` messages before them were found again, without a gap.
    """

    parent_key: int | None
    first_new: int
    matched: int = 0
    is_exchange: bool = False
    """Whether somebody and the assistant are among what was found: more than a common word."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Messages that were found again one after the other, ending at a node."""

    start: int
    length: int
    first: int
    roles: frozenset[str]

    @property
    def is_exchange(self) -> bool:
        return "assistant" in self.roles and len(self.roles) > 1

    def extended(self, role: str) -> _Run:
        """Return the run with one message more."""
        roles = self.roles if role in self.roles else self.roles | {role}
        return _Run(self.start, self.length + 1, self.first, roles)


def said_hash(message: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that stand for what a message says, in whatever spelling a client resends it.

    A string and text parts are the same, as are missing and empty fields, other white space around
    a text, and arguments of tools written in another way.
    """
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and isinstance(content, str):
        # Nearly all are such, and a history has thousands: the rest takes ten times as long.
        return _digest(role, content)
    audio = message.get("audio")
    said = {
        "parts": [_part(one) for one in _mappings(content) if not one.get("text")],
        "calls": [[one.get("id"), *_function(one)] for one in _mappings(message.get("tool_calls"))],
        "call": _function({"function": message.get("function_call")}),
        "answers": message.get("tool_call_id"),
        "audio": audio.get("id") if isinstance(audio, Mapping) else None,
        # Frameworks write the names of their agents into an assistant's messages.
        "name": message.get("name") if role == "user" else None,
    }
    beside = {name: value for name, value in said.items() if value}
    text = text_of_parts(content) or str(message.get("refusal") or "")
    return _digest(role, text, canonical(beside) if beside else "")


def _digest(role: Any, text: str, beside: str = "") -> bytes:
    said = f"{role}\0{text.strip()}\0{beside}"
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def align(
    tree: Sequence[Node], head_key: int | None, sent: Sequence[Sent], *, is_retry: bool = False
) -> Alignment:
    """Find the sent messages in the tree; `sent` has no system messages."""
    index = _Index(tree, head_key)
    best: tuple[tuple[int, int, bool, bool, int], Node, _Run] | None = None
    for position, runs in enumerate(_runs(index, sent)):
        for node, run in runs:
            if _tells_enough(index, node, run, sent, is_retry=is_retry):
                rank = (position, run.length, node.key == head_key, node.active, node.seq)
                if best is None or rank > best[0]:
                    best = rank, node, run
    if best is None:
        return Alignment(head_key, 0)
    (position, *_), node, run = best
    return Alignment(node.key, position + 1, run.length, run.is_exchange)


class _Index:
    """The tree by key, by parent and by what is said."""

    def __init__(self, tree: Sequence[Node], head_key: int | None) -> None:
        newest_first = sorted(tree, key=lambda node: -node.seq)
        self.head_key = head_key
        self.nodes = {node.key: node for node in newest_first}
        self._ids = {node.id: node for node in newest_first}
        self._children: dict[int | None, list[Node]] = {}
        self._by_said: dict[bytes, list[Node]] = {}
        for node in newest_first:
            self._children.setdefault(node.parent_key, []).append(node)
            self._by_said.setdefault(node.said, []).append(node)
        self.last_exchange = self._last_exchange()

    def starts(self, sent: Sent) -> Sequence[Node]:
        """Return nodes that a message can be: of many the newest, and the oldest."""
        known = self._ids.get(sent.id) if sent.id else None
        found = self._by_said.get(sent.said, []) if known is None else [known]
        if len(found) > MAX_STARTS:
            found = [*found[: MAX_STARTS // 2], *found[-MAX_STARTS // 2 :]]
        return [node for node in found if self._admits(sent, node)]

    def following(self, key: int, sent: Sent) -> Iterator[Node]:
        """Yield the nodes after one that a message can be; a client may leave optional ones out."""
        waiting = list(self._children.get(key, ()))
        for _ in range(MAX_SKIPPED):
            if not waiting:
                return
            node = waiting.pop()
            if self._admits(sent, node):
                yield node
            if node.optional:
                waiting += self._children.get(node.key, ())

    def _admits(self, sent: Sent, node: Node) -> bool:
        """Return whether a message can be a node; one with an id of its own is only that turn."""
        if sent.id and (sent.id in self._ids or sent.role == "user") and sent.id != node.id:
            return False
        return sent.said == node.said

    def is_root(self, key: int) -> bool:
        """Return whether nothing that a client must resend comes before a turn."""
        parent_key = self.nodes[key].parent_key
        for _ in range(MAX_SKIPPED):
            if parent_key is None:
                return True
            parent = self.nodes.get(parent_key)
            if parent is None or not parent.optional:
                return False
            parent_key = parent.parent_key
        return False

    def _last_exchange(self) -> frozenset[int]:
        """Return the last user turn of the live path and what follows it."""
        found: list[int] = []
        key = self.head_key
        while key is not None and key in self.nodes:
            found.append(key)
            if self.nodes[key].role == "user":
                return frozenset(found)
            key = self.nodes[key].parent_key
        return frozenset(found)


def _runs(index: _Index, sent: Sequence[Sent]) -> Iterator[list[tuple[Node, _Run]]]:
    """Yield, for each message, the nodes it can be with the longest run that ends there."""
    before: dict[int, _Run] = {}
    for position, message in enumerate(sent):
        here: dict[int, _Run] = {}
        for key, run in before.items():
            for node in index.following(key, message):
                known = here.get(node.key)
                if known is None or known.length <= run.length:
                    here[node.key] = run.extended(message.role)
        for node in index.starts(message):
            here.setdefault(node.key, _Run(position, 1, node.key, frozenset({message.role})))
        if len(here) > MAX_RUNS:
            longest = sorted(here, key=lambda key: (here[key].length, key), reverse=True)
            here = {key: here[key] for key in longest[:MAX_RUNS]}
        yield [(index.nodes[key], run) for key, run in here.items()]
        before = here


def _tells_enough(
    index: _Index, node: Node, run: _Run, sent: Sequence[Sent], *, is_retry: bool
) -> bool:
    """Return whether a run shows where the client is, and is not just a word said twice."""
    at_end = node.key in index.last_exchange
    if run.start > 0:
        # What comes before is the client's own: a summary, or a history it has thinned out.
        return at_end and run.is_exchange
    if node.key == index.head_key or run.is_exchange:
        return True
    last = sent[run.length - 1]
    if last.id is not None and last.id == node.id:
        return True
    if len(sent) > 1:
        return index.is_root(run.first)
    # A single message may be all of a short conversation, or only what is new of a long one.
    return at_end and (index.is_root(run.first) or (is_retry and node.fresh))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _part(part: Mapping[str, Any]) -> Any:
    """Return a part that is no text without what a client may leave out."""
    return {
        key: _part(value) if isinstance(value, Mapping) else value
        for key, value in part.items()
        if value is not None and (key, value) != ("detail", "auto")
    }


def _function(call: Mapping[str, Any]) -> list[Any]:
    """Return the name and the arguments of a call, these as values if they are JSON."""
    function = call.get("function") or call.get("custom")
    if not isinstance(function, Mapping):
        return []
    return [function.get("name"), _parsed(function.get("arguments", function.get("input")))]


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (TypeError, ValueError):
        return arguments
