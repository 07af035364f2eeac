"""The shape of a conversation's tree: parents without cycles, the active branch, the order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingest.trees.nodes import TreeNode, children_by_parent, path_to_root


@dataclass(frozen=True, slots=True)
class TreeShape:
    """How the nodes of a tree are connected.

    `parents` has an entry for each node and no cycles. `order` holds parents before children and,
    of siblings, the active one last. `active` are the nodes from the root to `leaf`.
    """

    parents: Mapping[str, str | None]
    order: Sequence[str]
    leaf: str | None
    active: frozenset[str]


def shape_of(nodes: Mapping[str, TreeNode], current: str | None) -> TreeShape:
    """Return the shape of a tree whose active branch ends in `current`, else in the newest leaf."""
    parents = _without_cycles({node.id: node.parent for node in nodes.values()}, current)
    children = children_by_parent(parents, parents)
    leaf = current if current in nodes else _newest_leaf(nodes, parents, children)
    active = frozenset(path_to_root(leaf, parents))
    return TreeShape(parents, tuple(_depth_first(children, active)), leaf, active)


def _without_cycles(parents: Mapping[str, str | None], first: str | None) -> dict[str, str | None]:
    """Return parents that all lead to a root: unknown parents are None, a cycle is cut once.

    Walks begin at `first`, so that what is cut off is not on the active branch.
    """
    safe_parents = dict(parents)
    safe: set[str] = set()
    for start in (*filter(parents.__contains__, [first]), *parents):
        walked: dict[str, None] = {}
        node_id: str | None = start
        while node_id is not None and node_id not in safe:
            walked[node_id] = None
            parent = safe_parents[node_id]
            if parent not in parents or parent in walked:
                safe_parents[node_id] = parent = None
            node_id = parent
        safe.update(walked)
    return safe_parents


def _newest_leaf(
    nodes: Mapping[str, TreeNode],
    parents: Mapping[str, str | None],
    children: Mapping[str | None, Sequence[str]],
) -> str | None:
    """Return the leaf with the latest time; of equal times the last one in the file.

    A leaf without a time has that of the nearest node above with one.
    """
    newest, latest = None, -1
    for leaf in (node_id for node_id in nodes if node_id not in children):
        times = (nodes[node_id].time for node_id in path_to_root(leaf, parents))
        time = next((time for time in times if time is not None), 0)
        if time >= latest:
            newest, latest = leaf, time
    return newest


def _depth_first(
    children: Mapping[str | None, Sequence[str]], active: frozenset[str]
) -> Iterator[str]:
    waiting = _active_first(children.get(None, ()), active)
    while waiting:
        node_id = waiting.pop()
        yield node_id
        waiting.extend(_active_first(children.get(node_id, ()), active))


def _active_first(siblings: Sequence[str], active: frozenset[str]) -> list[str]:
    """Return siblings in reverse order, the active one first: a stack returns them the other way.

    At most one of several siblings is active.
    """
    return [node_id for node_id in siblings if node_id in active] + [
        node_id for node_id in reversed(siblings) if node_id not in active
    ]
