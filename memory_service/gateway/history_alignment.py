"""Align the history that a client sends with the stored tree of its conversation. Pure.

Clients of chat completions send the history again with every request: all of it, its end, an edited
one, or only a new message. The alignment finds the messages that are stored already, and decides
what the request means. The table in docs/gateway.md lists the cases; a history that fits none of
them is stored as new.

Only edits and repeated questions take turns out of the active branch, and only by evidence: the
client sends an answer that the model gave in this conversation. A client that begins each session
with the same messages of its own shows no such answer. Its new messages follow the head, and so do
the messages of parallel requests. `follows_key` keeps the history as these clients see it: the
histories of several clients are threads of one active branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

MAX_SKIPPED = 256
"""The most optional turns that a client may leave out between two messages."""

MAX_STARTS, MAX_RUNS = 32, 64
"""The most nodes that are tried for one message.

A message that was sent many times ("ok") matches many nodes, and trying all would take quadratic
time.
"""

BEGINNING = 0
"""The `follows_key` of a message that begins its client's history."""


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
    or an item that is not a message. A node is `fresh` while a retry may refer to it, `pending`
    while another request waits for its answer, `open` while a client may still send the results of
    its tool calls, and `broken_off` if it is an answer that recently ended early. `from_request`
    nodes were sent by a client; other messages of assistants are answers. `follows_key` is the turn
    before it in the history of its client, None for its parent.
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
    old: bool = False
    pending: bool = False
    open: bool = False
    broken_off: bool = False
    from_request: bool = False
    follows_key: int | None = None

    @property
    def is_answer(self) -> bool:
        """Whether a model gave it, so that a client which sends it has seen this conversation."""
        return self.role == "assistant" and not self.from_request

    @property
    def before_key(self) -> int | None:
        """The turn before it in the history of its client."""
        return self.parent_key if self.follows_key is None else self.follows_key or None

    @property
    def is_behind_others(self) -> bool:
        """Whether its parent belongs to the history of another client."""
        return self.before_key != self.parent_key


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which messages of a history are stored, and which turn the others follow.

    The messages from `first_new` on are new and are stored below the turn `parent_key` (None: they
    begin the conversation). `matched` messages before them are stored, one after the other, up to
    the parent. `follows_key` is the turn before the new messages in the history of their client, if
    that is not the parent.

    The history `is_continuation` if it belongs to this conversation, and does not only begin in the
    same way. It `is_whole` if its first message is stored, too.

    `exchange_keys` are the question and the tool calls that new results belong to. `open_keys` are
    the turns of another thread that waits for the results of its tool calls.
    """

    parent_key: int | None
    first_new: int
    matched: int = 0
    follows_key: int | None = None
    is_continuation: bool = False
    is_whole: bool = False
    exchange_keys: Sequence[int] = ()
    open_keys: frozenset[int] = frozenset()


class _Order(Enum):
    """The order of the turns that a client sends: that of its own history, or that of the log.

    A client that has read the conversation from this service sends the active branch.
    """

    EITHER = "either"
    THREAD = "thread"
    PATH = "path"


class _Step(NamedTuple):
    """A step from one node to the next; `is_apart` if turns of other threads are between them."""

    node: HistoryNode
    order: _Order
    is_apart: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive messages that match consecutive nodes.

    `start` is the index of the first message, `first_key` the key of its node. `answers` counts the
    messages that a model gave. `joined` counts the last messages whose nodes follow each other in
    the log, without turns of other threads between them.
    """

    start: int
    length: int
    first_key: int
    roles: frozenset[str]
    answers: int
    order: _Order = _Order.EITHER
    joined: int = 1

    @classmethod
    def of(cls, start: int, node: HistoryNode) -> _Run:
        """Return the run of one message."""
        return cls(start, 1, node.key, frozenset({node.role}), int(node.is_answer))

    @property
    def is_exchange(self) -> bool:
        """Whether its messages are from an assistant and from another role."""
        return "assistant" in self.roles and len(self.roles) > 1

    def extended(self, step: _Step) -> _Run:
        """Return the run with one more message."""
        role = step.node.role
        return _Run(
            self.start,
            self.length + 1,
            self.first_key,
            self.roles if role in self.roles else self.roles | {role},
            self.answers + step.node.is_answer,
            step.order,
            1 if step.is_apart else self.joined + 1,
        )


@dataclass(frozen=True, slots=True)
class _Match:
    """A run that ends at the message `position` and at `node`."""

    position: int
    node: HistoryNode
    run: _Run

    @property
    def alignment(self) -> Alignment:
        """The alignment whose new messages are stored below the node."""
        return Alignment(
            self.node.key,
            self.position + 1,
            self.run.joined,
            is_continuation=self.run.answers > 0,
            is_whole=self.run.start == 0,
        )


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
    matches = [
        match
        for match in _matches(index, sent)
        if _is_conclusive(index, match, sent, is_retry=is_retry)
    ]
    best = _best(matches, head_key)
    if best is None:
        return Alignment(head_key, 0, follows_key=_before_unmatched(index, sent))
    if best.position == len(sent) - 1:
        return _asked_again(index, best, sent, is_retry=is_retry)
    alignment = _continued(index, best, sent)
    if sent[best.position + 1].role != "tool":
        return alignment
    return replace(alignment, exchange_keys=index.exchange(best.node.key))


def _best(matches: Sequence[_Match], head_key: int | None) -> _Match | None:
    """Return the best match; None if there is none.

    A match that begins within one of the whole history is a coincidence: another thread has the
    same answer ("Noted.") before the same message.
    """
    whole = [match for match in matches if match.run.start == 0 and match.run.answers]
    reach = max((match.position for match in whole), default=-1)
    matches = [match for match in matches if not 0 < match.run.start <= reach]
    return max(matches, key=lambda match: _rank(match, head_key), default=None)


def _rank(match: _Match, head_key: int | None) -> tuple[int, int, bool, bool, int]:
    node = match.node
    return match.position, match.run.length, node.key == head_key, node.active, node.seq


class _TreeIndex:
    """The nodes of a tree by key, id, parent and hash."""

    def __init__(self, tree: Sequence[HistoryNode], head_key: int | None) -> None:
        self._newest_first = sorted(tree, key=lambda node: -node.seq)
        self.head_key = head_key
        self.nodes = {node.key: node for node in self._newest_first}
        self._by_id = {node.id: node for node in self._newest_first}
        self._children: dict[int | None, list[HistoryNode]] = {}
        self._behind_others: dict[int | None, list[HistoryNode]] = {}
        self._by_digest: dict[bytes, list[HistoryNode]] = {}
        for node in self._newest_first:
            self._children.setdefault(node.before_key, []).append(node)
            if node.is_behind_others:
                self._behind_others.setdefault(node.parent_key, []).append(node)
            self._by_digest.setdefault(node.digest, []).append(node)
        self.last_exchange = frozenset(self.exchange(head_key))

    def starts(self, sent: SentMessage) -> Sequence[HistoryNode]:
        """Return the nodes that match a message; if they are many, the newest and the oldest."""
        named = self._by_id.get(sent.id) if sent.id else None
        nodes = self._by_digest.get(sent.digest, []) if named is None else [named]
        if len(nodes) > MAX_STARTS:
            nodes = [*nodes[: MAX_STARTS // 2], *nodes[-MAX_STARTS // 2 :]]
        return [node for node in nodes if self._matches(sent, node)]

    def following(self, key: int, order: _Order, sent: SentMessage) -> Iterator[_Step]:
        """Yield the steps to the next nodes that match a message; optional nodes may be skipped."""
        waiting = list(self._steps(key, order))
        for _ in range(MAX_SKIPPED):
            if not waiting:
                return
            step = waiting.pop()
            if self._matches(sent, step.node):
                yield step
            if step.node.optional:
                waiting += [
                    following._replace(is_apart=step.is_apart or following.is_apart)
                    for following in self._steps(step.node.key, step.order)
                ]

    def _steps(self, key: int, order: _Order) -> Iterator[_Step]:
        """Yield the steps from a node in an order, with the orders that then remain possible."""
        for node in self._children.get(key, ()):
            if not node.is_behind_others:
                yield _Step(node, order, is_apart=False)
            elif order is not _Order.PATH:
                yield _Step(node, _Order.THREAD, is_apart=True)
        if order is not _Order.THREAD:
            for node in self._behind_others.get(key, ()):
                yield _Step(node, _Order.PATH, is_apart=False)

    def _matches(self, sent: SentMessage, node: HistoryNode) -> bool:
        """Return whether a message equals a node.

        A message with a stored id, and a user message with any id, equals only the turn of that id.
        """
        if sent.id and (sent.id in self._by_id or sent.role == "user") and sent.id != node.id:
            return False
        return sent.digest == node.digest

    def is_first(self, key: int) -> bool:
        """Return whether only optional turns come before a turn in the history of its client."""
        before_key = self.nodes[key].before_key
        for _ in range(MAX_SKIPPED):
            if before_key is None:
                return True
            before = self.nodes.get(before_key)
            if before is None or not before.optional:
                return False
            before_key = before.before_key
        return False

    def next_active(self, key: int | None) -> list[HistoryNode]:
        """Return the active nodes after a node in the histories of clients, one per thread."""
        return [node for node in self._children.get(key, ()) if node.active]

    def last_settled_key(self) -> int | None:
        """Return the last turn of the active branch whose answer is not awaited."""
        key = self.head_key
        while key is not None and key in self.nodes and self.nodes[key].pending:
            key = self.nodes[key].parent_key
        return key

    def is_broken_off(self, key: int) -> bool:
        """Return whether the answer to a turn recently ended early."""
        return any(node.active and node.broken_off for node in self._children.get(key, ()))

    def is_near_end(self, key: int) -> bool:
        """Return whether a turn is in the last exchange of the active branch, or just before it."""
        return key in self.last_exchange or any(
            self.nodes[last].before_key == key for last in self.last_exchange
        )

    def others_would_leave(self, node: HistoryNode) -> bool:
        """Return whether a branch at a node would take other threads out of the active branch.

        Those are requests that wait for their answers, and turns whose clients did not have this
        node in their history, or had it as the beginning of a history of their own.
        """
        fork: HistoryNode | None = node
        while fork is not None and not fork.active:
            fork = None if fork.parent_key is None else self.nodes.get(fork.parent_key)
        key, seq = (BEGINNING, 0) if fork is None else (fork.key, fork.seq)
        leaving = (other for other in self._newest_first if other.active and other.seq > seq)
        return len(self.next_active(key or None)) > 1 or any(
            other.pending
            or other.open
            or (other.follows_key is not None and other.follows_key < key)
            for other in leaving
        )

    def exchange(self, key: int | None) -> Sequence[int]:
        """Return the last turn of the user on the path to a turn, and the turns from there on."""
        keys: list[int] = []
        while key is not None and key in self.nodes:
            keys.append(key)
            if self.nodes[key].role == "user":
                break
            key = self.nodes[key].parent_key
        return keys[::-1]


def _matches(index: _TreeIndex, sent: Sequence[SentMessage]) -> Iterator[_Match]:
    """Yield, for each message, the nodes that match it, with the longest run that ends there."""
    previous: dict[int, _Run] = {}
    for position, message in enumerate(sent):
        current = _extended_runs(index, previous, message)
        for node in index.starts(message):
            current.setdefault(node.key, _Run.of(position, node))
        current = _longest(current)
        yield from (_Match(position, index.nodes[key], run) for key, run in current.items())
        previous = current


def _extended_runs(
    index: _TreeIndex, runs: dict[int, _Run], message: SentMessage
) -> dict[int, _Run]:
    """Return the runs that a message extends, by the key of the node that it matches."""
    extended: dict[int, _Run] = {}
    for key, run in runs.items():
        for step in index.following(key, run.order, message):
            other = extended.get(step.node.key)
            if other is None or other.length <= run.length:
                extended[step.node.key] = run.extended(step)
    return extended


def _longest(runs: dict[int, _Run]) -> dict[int, _Run]:
    """Return the longest MAX_RUNS runs."""
    if len(runs) <= MAX_RUNS:
        return runs
    longest = sorted(runs, key=lambda key: (runs[key].length, key), reverse=True)
    return {key: runs[key] for key in longest[:MAX_RUNS]}


def _is_conclusive(
    index: _TreeIndex, match: _Match, sent: Sequence[SentMessage], *, is_retry: bool
) -> bool:
    """Return whether a run shows which messages are stored, not only that one was sent twice."""
    node, run = match.node, match.run
    at_end = node.key in index.last_exchange
    if run.start > 0:
        # The messages before the run are not stored: a summary, or a history with gaps.
        return at_end and run.is_exchange
    if node.key == index.head_key or run.is_exchange or _is_named(match, sent):
        return True
    if len(sent) > 1:
        return index.is_first(run.first_key)
    # A single message is the whole of a short conversation, or the new message of a long one.
    return node.pending or (
        at_end
        and (
            index.is_first(run.first_key)
            or (is_retry and node.fresh)
            or index.is_broken_off(node.key)
        )
    )


def _is_named(match: _Match, sent: Sequence[SentMessage]) -> bool:
    """Return whether the client names the turn by its id."""
    return sent[match.position].id is not None and sent[match.position].id == match.node.id


def _before_unmatched(index: _TreeIndex, sent: Sequence[SentMessage]) -> int | None:
    """Return the `follows_key` of messages of which none is stored."""
    if index.head_key is None:
        return None
    if any(message.role == "assistant" for message in sent):
        # They are a history, which begins with them.
        return BEGINNING
    settled = index.last_settled_key()
    return None if settled == index.head_key else settled or BEGINNING


def _asked_again(
    index: _TreeIndex, match: _Match, sent: Sequence[SentMessage], *, is_retry: bool
) -> Alignment:
    """Return the alignment of a history that ends with a stored message."""
    node, run, here = match.node, match.run, match.alignment
    is_whole = run.start == 0 and index.is_first(run.first_key)
    if node.key == index.head_key:
        is_same = is_whole and (is_retry or not node.pending)
        return replace(here, is_continuation=is_same or here.is_continuation)
    if node.pending or node.role == "tool" or _is_named(match, sent):
        return here
    if node.key in index.last_exchange and not run.answers:
        is_same = is_whole and ((is_retry and node.fresh) or index.is_broken_off(node.key))
        if is_same or not node.old:
            return replace(here, is_continuation=is_same)
    elif _is_evidence(index, match) and not index.others_would_leave(node):
        return here
    # A new session that begins like an earlier one.
    follows_key = None if len(sent) == 1 else node.before_key or BEGINNING
    return Alignment(index.head_key, match.position, follows_key=follows_key)


def _continued(index: _TreeIndex, match: _Match, sent: Sequence[SentMessage]) -> Alignment:
    """Return the alignment of a history with new messages after stored ones."""
    node, run, here = match.node, match.run, match.alignment
    if node.key == index.head_key:
        is_whole = run.start == 0 and index.is_first(run.first_key)
        return replace(here, is_continuation=run.is_exchange or is_whole)
    if _is_named(match, sent):
        return here
    after = index.next_active(node.key)
    adds_results = sent[match.position + 1].role == "tool" and all(
        other.role != "tool" for other in after
    )
    if node.active and (adds_results or all(other.pending or other.open for other in after)):
        # The end of a thread: other threads, or parallel requests, were stored behind it.
        return replace(
            here,
            parent_key=index.head_key,
            matched=0,
            follows_key=node.key,
            open_keys=frozenset(key for key, other in index.nodes.items() if other.open),
        )
    if _is_evidence(index, match) and not index.others_would_leave(node):
        return here
    return Alignment(index.head_key, match.position + 1, follows_key=node.key)


def _is_evidence(index: _TreeIndex, match: _Match) -> bool:
    """Return whether a run shows the client's position in this conversation.

    It has an answer that a model gave here. And it is the whole history up to its end, or the end
    of a history whose beginning was cut off: a client may also quote a single old exchange.
    """
    run = match.run
    return run.answers > 0 and (
        run.answers > 1 or index.is_first(run.first_key) or index.is_near_end(match.node.key)
    )
