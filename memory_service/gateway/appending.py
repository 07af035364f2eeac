"""Append messages below a known turn, as the Responses API does. Pure.

Its clients name what they continue and send only what is new. So equal messages are stored again,
unless the same request has failed before: then they are stored already and have no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memory_service.gateway.history_alignment import BEGINNING, Alignment
from memory_service.gateway.request import AppendPoint
from memory_service.turn_log.repositories.history_index import TreePoint


class _Copy(NamedTuple):
    """Stored turns that equal the sent messages: the last of them, and the turn above the first."""

    last_key: int
    above_key: int | None


def append_alignment(
    tree: Sequence[TreePoint],
    head_key: int | None,
    point: AppendPoint,
    sent: Sequence[bytes],
    pending: frozenset[int],
) -> Alignment:
    """Return the place of messages with the hashes `sent`.

    Behind `pending` turns, whose answers other requests wait for, they do not follow these.
    """
    for copy in _unanswered_copies(tree, sent):
        is_here = (
            copy.last_key == head_key
            if point.turn_key is None
            else copy.above_key == point.turn_key
        )
        if is_here:
            return Alignment(copy.last_key, len(sent), len(sent))
    if point.turn_key is not None:
        return Alignment(point.turn_key, 0)
    parents = {node.key: node.parent_key for node in tree}
    key = head_key
    while key in pending:
        key = parents.get(key)
    return Alignment(head_key, 0, follows_key=None if key == head_key else key or BEGINNING)


def _unanswered_copies(tree: Sequence[TreePoint], sent: Sequence[bytes]) -> Iterator[_Copy]:
    """Yield the ends of branches that equal the sent messages, the newest first."""
    nodes = {node.key: node for node in tree}
    parents = {node.parent_key for node in tree}
    for leaf in sorted(tree, key=lambda node: -node.seq):
        if leaf.key in parents:
            continue
        key: int | None = leaf.key
        for digest in reversed(sent):
            if key not in nodes or nodes[key].message_hash != digest:
                break
            key = nodes[key].parent_key
        else:
            yield _Copy(leaf.key, key)
