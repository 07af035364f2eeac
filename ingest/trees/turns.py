"""Turns of a tree: its nodes with content, linked past those without, outputs linked to calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.trees.nodes import NodeContent, TreeNode, children_by_parent, path_to_root
from ingest.trees.shape import TreeShape
from memory_service.items.strict_json import dumps


@dataclass(frozen=True, slots=True)
class TurnLinks:
    """The nodes with content of a tree.

    `contents` are in the order of the tree. `parents` are the nearest nodes with content above.
    `answers` has the call that each output answers.
    """

    contents: Mapping[str, NodeContent]
    parents: Mapping[str, str | None]
    children: Mapping[str | None, Sequence[str]]
    answers: Mapping[str, str]
    active: frozenset[str]

    def only_child(self, node_id: str) -> str | None:
        """Return the child of a node that has exactly one."""
        children = self.children.get(node_id, ())
        return children[0] if len(children) == 1 else None


def link_turns(nodes: Mapping[str, TreeNode], shape: TreeShape) -> TurnLinks:
    """Return the turns of a tree; halves of tool groups become messages."""
    contents = {
        node_id: content
        for node_id in shape.order
        if (content := nodes[node_id].content) is not None
    }
    parents = {node_id: _nearest_turn_above(node_id, contents, shape) for node_id in contents}
    answers = _answered_calls(contents, parents)
    return TurnLinks(
        contents=_without_halves(contents, answers),
        parents=parents,
        children=children_by_parent(contents, parents),
        answers=answers,
        active=shape.active,
    )


def continues(links: TurnLinks, node_id: str) -> bool:
    """Return whether a node continues the one above it, so that both are one turn."""
    above = links.parents[node_id]
    if above is None or links.only_child(above) is None:
        return False
    if (above in links.active) != (node_id in links.active):
        # The active branch ends above: the nodes below it were taken back.
        return False
    content, before = links.contents[node_id], links.contents[above]
    if (content.kind, content.role, content.name) != (before.kind, before.role, before.name):
        return False
    if content.kind == "output":
        return content.call_id is None and links.answers[node_id] == links.answers[above]
    return content.kind == "message" and content.role == "assistant" and not before.ends_turn


def nodes_of_turn(links: TurnLinks, first: str) -> Iterator[str]:
    """Yield the nodes of the turn that begins with a node."""
    yield first
    node_id = first
    while (below := links.only_child(node_id)) is not None and continues(links, below):
        node_id = below
        yield node_id


def _nearest_turn_above(
    node_id: str, contents: Mapping[str, NodeContent], shape: TreeShape
) -> str | None:
    above = path_to_root(shape.parents[node_id], shape.parents)
    return next(filter(contents.__contains__, above), None)


def _answered_calls(
    contents: Mapping[str, NodeContent], parents: Mapping[str, str | None]
) -> dict[str, str]:
    """Return the call that each output answers: the nearest with its id since the last message."""
    answers: dict[str, str] = {}
    for node_id, content in contents.items():
        if content.kind != "output":
            continue
        for above in path_to_root(parents[node_id], parents):
            other = contents[above]
            if other.kind == "call" and content.call_id in (None, other.call_id):
                answers[node_id] = above
            if other.kind == "message" or node_id in answers:
                break
    return answers


def _without_halves(
    contents: Mapping[str, NodeContent], answers: Mapping[str, str]
) -> dict[str, NodeContent]:
    """Return contents in which calls without an output, and outputs without a call, are messages.

    A prompt would leave out both.
    """
    answered = set(answers.values())
    return {
        node_id: _call_as_message(content)
        if content.kind == "call" and node_id not in answered
        else replace(content, kind="message", name=content.tool or None)
        if content.kind == "output" and node_id not in answers
        else content
        for node_id, content in contents.items()
    }


def _call_as_message(call: NodeContent) -> NodeContent:
    given = call.arguments
    text = given if isinstance(given, str) else dumps(given)
    return replace(
        call, kind="message", texts=[text], metadata={**call.metadata, "tool": call.tool}
    )
