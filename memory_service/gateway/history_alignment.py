"""Align the history that a client sends with the stored tree of its conversation. Pure.

Clients of chat completions send the history again with every request: all of it, its end, an edited
one, or only a new message. The alignment finds the messages that are stored already. The table in
docs/gateway.md lists the cases; a history that fits none of them is stored as new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_SKIPPED = 256
"""The most optional turns that a client may leave out between two messages."""

MAX_STARTS, MAX_RUNS = 32, 64
"""The most nodes that are tried for one message.

A message that was sent many times ("ok") matches many nodes, and trying all would take quadratic
time.
"""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message of a request: the hash of its content, its role, and its id if it has one."""

    digest: bytes
    role: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryNode:
    """A stored turn in the tree of its conversation.

    A client that sends the history again may leave out an `optional` node: a turn of a tool group,
    or an item that is not a message. A node is `fresh` while a retry may refer to it.
    """

    key: int
    parent_key: int | None
    seq: int
    active: bool
    role: str
    digest: bytes
    id: str
    optional: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which messages of a history are stored, and which turn the others follow.

    The messages from `first_new` on are new and follow the turn `parent_key` (None: they begin the
    conversation). The `matched` messages before them are stored, one after the other.
    """

    parent_key: int | None
    first_new: int
    matched: int = 0
    is_exchange: bool = False
    """Whether the matched messages are from an assistant and from another role.

    An exchange identifies a conversation; a single common message ("ok") does not.
    """


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive messages that match consecutive nodes.

    `start` is the index of the first message, `first_key` the key of its node.
    """

    start: int
    length: int
    first_key: int
    roles: frozenset[str]

    @property
    def is_exchange(self) -> bool:
        return "assistant" in self.roles and len(self.roles) > 1

    def extended(self, role: str) -> _Run:
        """Return the run with one more message."""
        roles = self.roles if role in self.roles else self.roles | {role}
        return _Run(self.start, self.length + 1, self.first_key, roles)


def align(
    tree: Sequence[HistoryNode],
    head_key: int | None,
    sent: Sequence[SentMessage],
    *,
    is_retry: bool = False,
) -> Alignment:
    """Find the messages of a history, without those of the system, in the stored tree.

    The best match ends at the latest message; among those, the longest run wins, then the head, the
    active branch and the newest turn.
    """
    index = _TreeIndex(tree, head_key)
    candidates = (
        ((position, run.length, node.key == head_key, node.active, node.seq), node, run)
        for position, runs in enumerate(_runs(index, sent))
        for node, run in runs
        if _is_conclusive(index, node, run, sent, is_retry=is_retry)
    )
    best = max(candidates, key=lambda candidate: candidate[0], default=None)
    if best is None:
        return Alignment(head_key, 0)
    (position, *_), node, run = best
    return Alignment(node.key, position + 1, run.length, run.is_exchange)


class _TreeIndex:
    """The nodes of a tree by key, id, parent and hash."""

    def __init__(self, tree: Sequence[HistoryNode], head_key: int | None) -> None:
        newest_first = sorted(tree, key=lambda node: -node.seq)
        self.head_key = head_key
        self.nodes = {node.key: node for node in newest_first}
        self._by_id = {node.id: node for node in newest_first}
        self._children: dict[int | None, list[HistoryNode]] = {}
        self._by_digest: dict[bytes, list[HistoryNode]] = {}
        for node in newest_first:
            self._children.setdefault(node.parent_key, []).append(node)
            self._by_digest.setdefault(node.digest, []).append(node)
        self.last_exchange = self._last_exchange()

    def starts(self, sent: SentMessage) -> Sequence[HistoryNode]:
        """Return the nodes that match a message; if they are many, the newest and the oldest."""
        named = self._by_id.get(sent.id) if sent.id else None
        nodes = self._by_digest.get(sent.digest, []) if named is None else [named]
        if len(nodes) > MAX_STARTS:
            nodes = [*nodes[: MAX_STARTS // 2], *nodes[-MAX_STARTS // 2 :]]
        return [node for node in nodes if self._matches(sent, node)]

    def following(self, key: int, sent: SentMessage) -> Iterator[HistoryNode]:
        """Yield the nodes after a node that match a message; optional nodes may be skipped."""
        waiting = list(self._children.get(key, ()))
        for _ in range(MAX_SKIPPED):
            if not waiting:
                return
            node = waiting.pop()
            if self._matches(sent, node):
                yield node
            if node.optional:
                waiting += self._children.get(node.key, ())

    def _matches(self, sent: SentMessage, node: HistoryNode) -> bool:
        """Return whether a message equals a node.

        A message with a stored id, and a user message with any id, equals only the turn of that id.
        """
        if sent.id and (sent.id in self._by_id or sent.role == "user") and sent.id != node.id:
            return False
        return sent.digest == node.digest

    def is_first(self, key: int) -> bool:
        """Return whether only optional turns come before a turn."""
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
        """Return the last user turn of the active branch and the turns that follow it."""
        keys: list[int] = []
        key = self.head_key
        while key is not None and key in self.nodes:
            keys.append(key)
            if self.nodes[key].role == "user":
                break
            key = self.nodes[key].parent_key
        return frozenset(keys)


def _runs(
    index: _TreeIndex, sent: Sequence[SentMessage]
) -> Iterator[list[tuple[HistoryNode, _Run]]]:
    """Yield, for each message, the nodes that match it, with the longest run that ends there."""
    previous: dict[int, _Run] = {}
    for position, message in enumerate(sent):
        current = _extended_runs(index, previous, message)
        for node in index.starts(message):
            current.setdefault(node.key, _Run(position, 1, node.key, frozenset({message.role})))
        current = _longest(current)
        yield [(index.nodes[key], run) for key, run in current.items()]
        previous = current


def _extended_runs(
    index: _TreeIndex, runs: dict[int, _Run], message: SentMessage
) -> dict[int, _Run]:
    """Return the runs that a message extends, by the key of the node that it matches."""
    extended: dict[int, _Run] = {}
    for key, run in runs.items():
        for node in index.following(key, message):
            other = extended.get(node.key)
            if other is None or other.length <= run.length:
                extended[node.key] = run.extended(message.role)
    return extended


def _longest(runs: dict[int, _Run]) -> dict[int, _Run]:
    """Return the longest MAX_RUNS runs."""
    if len(runs) <= MAX_RUNS:
        return runs
    longest = sorted(runs, key=lambda key: (runs[key].length, key), reverse=True)
    return {key: runs[key] for key in longest[:MAX_RUNS]}


def _is_conclusive(
    index: _TreeIndex,
    node: HistoryNode,
    run: _Run,
    sent: Sequence[SentMessage],
    *,
    is_retry: bool,
) -> bool:
    """Return whether a run shows the client's position, not only a message that was sent twice."""
    at_end = node.key in index.last_exchange
    if run.start > 0:
        # The messages before the run are not stored: a summary, or a history with gaps.
        return at_end and run.is_exchange
    if node.key == index.head_key or run.is_exchange:
        return True
    last = sent[run.length - 1]
    if last.id is not None and last.id == node.id:
        return True
    if len(sent) > 1:
        return index.is_first(run.first_key)
    # A single message is the whole of a short conversation, or the new message of a long one.
    return at_end and (index.is_first(run.first_key) or (is_retry and node.fresh))
