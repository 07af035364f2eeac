"""Nodes: the form in which a format gives a branching conversation; its items follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

NOT_ACTIVE = "not on the active branch"
"""The reason for leaving out a turn of another branch."""


@dataclass(frozen=True, slots=True)
class NodeContent:
    """The content of a node: a message, a tool call, a tool's output, or reasoning.

    `texts` are its parts; of a call, `arguments` is what the tool `tool` is given. `call_id` links
    a call to its output where the source has ids; else the output answers the call before it.
    `ends_turn` is False for a piece of an answer that the next piece continues.
    """

    kind: Literal["message", "call", "output", "reasoning"]
    role: str
    texts: Sequence[str] = ()
    name: str | None = None
    tool: str = ""
    arguments: Any = None
    call_id: str | None = None
    ends_turn: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node: it has content, is left out for a reason (`skipped`), or only connects others.

    `time` is in microseconds since the epoch.
    """

    id: str
    parent: str | None
    time: int | None = None
    content: NodeContent | None = None
    skipped: str | None = None


def children_by_parent(
    ids: Iterable[str], parents: Mapping[str, str | None]
) -> dict[str | None, list[str]]:
    """Return the children of each parent, in the order of `ids`; roots are children of None."""
    children: dict[str | None, list[str]] = {}
    for node_id in ids:
        children.setdefault(parents[node_id], []).append(node_id)
    return children


def path_to_root(node_id: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a node and the nodes above it, up to the root; nothing for None."""
    while node_id is not None:
        yield node_id
        node_id = parents[node_id]
