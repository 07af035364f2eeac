"""Missing times of a conversation, filled in from the times around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

EARLY = "before the turn it answers"
INTERPOLATED = "interpolated"
UNKNOWN = "unknown"


class TimedNode(NamedTuple):
    """A node of a tree with its own time in microseconds since the epoch, if it has one.

    `is_turn` is False for nodes without content, which only connect others.
    """

    id: str
    parent: str | None
    time: int | None
    is_turn: bool


class NodeTime(NamedTuple):
    """A node's time, and a mark where it is not the source's own or is out of order."""

    time: int | None
    mark: str | None


class _NextTime(NamedTuple):
    """The next time at or below a node, and how many nodes without a time come before it."""

    time: int | None
    missing: int


def fill_times(nodes: Sequence[TimedNode], begun: int | None) -> dict[str, NodeTime]:
    """Return the time of every node; `nodes` come parents first, the active child last.

    A run of n nodes without a time divides the span between the time above it and the next time
    below it, on the branch of each node's last child, into n + 1 equal parts. Every node without a
    time counts, also one that is not a turn. At the end of a branch the time above is repeated.
    Above the first time, `begun` is the time above, else the first time is repeated.

    A node's own time is never changed. A turn earlier than the turn above it is marked; a node that
    is not a turn may have any time.
    """
    next_times = _next_times(nodes)
    times: dict[str, NodeTime] = {}
    # The time of the nearest turn at or above a node.
    turn_times: dict[str | None, int | None] = {}
    for node in nodes:
        turn_above = turn_times.get(node.parent)
        if node.time is not None:
            is_early = turn_above is not None and node.time < turn_above
            times[node.id] = NodeTime(node.time, EARLY if is_early else None)
        else:
            parent = None if node.parent is None else times.get(node.parent)
            times_above = [
                time for time in (parent and parent.time, turn_above) if time is not None
            ]
            before = max(times_above) if times_above else begun
            times[node.id] = _interpolated(before, next_times[node.id])
        turn_times[node.id] = times[node.id].time if node.is_turn else turn_above
    return times


def _next_times(nodes: Sequence[TimedNode]) -> dict[str, _NextTime]:
    last_children = {node.parent: node.id for node in nodes}
    next_times: dict[str, _NextTime] = {}
    for node in reversed(nodes):
        child = last_children.get(node.id)
        below = _NextTime(None, 0) if child is None else next_times[child]
        next_times[node.id] = (
            _NextTime(below.time, below.missing + 1)
            if node.time is None
            else _NextTime(node.time, 0)
        )
    return next_times


def _interpolated(before: int | None, after: _NextTime) -> NodeTime:
    """Return the first of `after.missing` times that divide the span evenly."""
    if before is None:
        return NodeTime(after.time, UNKNOWN if after.time is None else INTERPOLATED)
    if after.time is None or after.time < before:
        return NodeTime(before, INTERPOLATED)
    return NodeTime(before + (after.time - before) // (after.missing + 1), INTERPOLATED)
