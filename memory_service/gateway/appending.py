"""Append messages below a known turn, as the Responses API does. Pure.

Its clients name what they continue and send only what is new. So equal messages are stored again,
unless the same request has failed before: then they are stored already and have no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from memory_service.gateway.history_alignment import Alignment
from memory_service.gateway.request import AppendPoint
from memory_service.turn_log.repositories.turns import TreePoint


class _Copy(NamedTuple):
    """Stored turns that equal the sent messages: the last of them, and the turn above the first."""

    last_key: int
    above_key: int | None


def append_alignment(
    tree: Sequence[TreePoint],
    digests: Mapping[int, bytes],
    head_key: int | None,
    point: AppendPoint,
    sent: Sequence[bytes],
) -> Alignment:
    """Return the place of messages with the hashes `sent`; `digests` are those of the tree."""
    for copy in _unanswered_copies(tree, digests, sent):
        is_here = (
            copy.last_key == head_key
            if point.turn_key is None
            else copy.above_key == point.turn_key
        )
        if is_here:
            return Alignment(copy.last_key, len(sent), len(sent))
    return Alignment(head_key if point.turn_key is None else point.turn_key, 0)


def _unanswered_copies(
    tree: Sequence[TreePoint], digests: Mapping[int, bytes], sent: Sequence[bytes]
) -> Iterator[_Copy]:
    """Yield the ends of branches that equal the sent messages, the newest first."""
    nodes = {node.key: node for node in tree}
    parents = {node.parent_key for node in tree}
    for leaf in sorted(tree, key=lambda node: -node.seq):
        if leaf.key in parents:
            continue
        key: int | None = leaf.key
        for digest in reversed(sent):
            if key is None or digests.get(key) != digest:
                break
            key = nodes[key].parent_key
        else:
            yield _Copy(leaf.key, key)
