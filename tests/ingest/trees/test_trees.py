"""Random conversations with branches: every turn is kept once, in order, with a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.trees.nodes import NodeContent, TreeNode
from ingest.trees.tree_items import TreeItems, tree_items

START = 1_700_000_000_000_000
ROLES = ("user", "assistant", "tool", "system")


@st.composite
def nodes(draw: st.DrawFn) -> list[TreeNode]:
    """Return nodes in any order, with parents that exist, are missing, or form a cycle."""
    count = draw(st.integers(1, 25))
    keys = [f"n{number}" for number in range(count)]
    tree_nodes = [
        TreeNode(
            key,
            parent=draw(st.sampled_from([*keys[:number][-4:], *keys[:1], None, "missing"]))
            if draw(st.integers(0, 20))
            else draw(st.sampled_from(keys)),
            time=draw(st.none() | st.integers(START, START + 10_000_000)),
            content=draw(st.none() | st.builds(_content, st.just(key), st.sampled_from(ROLES))),
        )
        for number, key in enumerate(keys)
    ]
    hidden = [
        replace(node, skipped="hidden") if node.content is None and draw(st.booleans()) else node
        for node in tree_nodes
    ]
    return draw(st.permutations(hidden))


def _content(key: str, role: str) -> NodeContent:
    kind = "output" if role == "tool" else "message"
    return NodeContent(kind, role, [key], ends_turn=key[-1] in "02468")  # type: ignore[arg-type]


def path(tree_nodes: Sequence[TreeNode], current: str) -> list[str]:
    """Return the keys from the root to a node."""
    by_key = {node.id: node for node in tree_nodes}
    keys: list[str] = []
    key: str | None = current
    while key in by_key and key not in keys:
        keys.append(key)
        key = by_key[key].parent
    return keys[::-1]


def texts(tree: TreeItems) -> list[str]:
    """Return the texts of all items: the keys of the nodes that they came from."""
    keys: list[str] = []
    for item in tree.items:
        value = json.loads(item.raw)
        content = value.get("content", value.get("output"))
        keys += content.split("\n") if isinstance(content, str) else [p["text"] for p in content]
    return keys


def tree_of(
    tree_nodes: Sequence[TreeNode], current: str | None, *, all_branches: bool
) -> TreeItems:
    return tree_items("talk", tree_nodes, current, all_branches=all_branches, begun=START)


@given(nodes(), st.data())
def test_active_branch_is_complete_and_in_order(
    tree_nodes: list[TreeNode], data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from([node.id for node in tree_nodes]))
    turns = {node.id for node in tree_nodes if node.content is not None}
    tree = tree_of(tree_nodes, current, all_branches=False)
    assert texts(tree) == [key for key in path(tree_nodes, current) if key in turns]
    assert [item.parent for item in tree.items] == [
        None,
        *(item.id for item in tree.items),
    ][: len(tree.items)]


def test_continuation_below_active_leaf_is_another_item() -> None:
    tree_nodes = [
        TreeNode("n1", None, START, _content("n1", "assistant")),
        TreeNode("n0", "n1", START + 1, _content("n0", "assistant")),
    ]
    for current, active in (("n1", ["n1"]), ("n0", ["n1", "n0"])):
        tree = tree_of(tree_nodes, current, all_branches=False)
        assert len(tree.items) == 1
        assert texts(tree) == active
    everything = tree_of(tree_nodes, "n1", all_branches=True)
    assert texts(everything) == ["n1", "n0"]
    assert everything.head == everything.items[0].id


@given(nodes(), st.data())
def test_every_turn_is_kept_or_counted(tree_nodes: list[TreeNode], data: st.DataObject) -> None:
    current = data.draw(st.none() | st.sampled_from([node.id for node in tree_nodes]))
    everything = tree_of(tree_nodes, current, all_branches=True)
    assert sorted(texts(everything)) == sorted(n.id for n in tree_nodes if n.content is not None)
    assert sum(everything.skipped.values()) == sum(n.skipped is not None for n in tree_nodes)
    active = tree_of(tree_nodes, current, all_branches=False)
    assert len(active.items) + sum(active.skipped.values()) == len(everything.items) + sum(
        everything.skipped.values()
    )


@given(nodes(), st.data())
def test_parents_come_first_and_active_branch_last(
    tree_nodes: list[TreeNode], data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from([node.id for node in tree_nodes]))
    tree = tree_of(tree_nodes, current, all_branches=True)
    ids: set[str | None] = {None}
    for item in tree.items:
        assert item.parent in ids
        assert item.id not in ids
        ids.add(item.id)
    active = tree_of(tree_nodes, current, all_branches=False)
    assert {item.id for item in active.items} <= ids
    assert tree.head == active.head


def test_node_without_content_does_not_move_time_back() -> None:
    """The node without content is earlier than the turn above it."""
    for timed in (None, START + 7):
        tree_nodes = [
            TreeNode("a", None, START + 10, _content("a", "user")),
            TreeNode("b", "a", START + 5),
            TreeNode("c", "b", timed, _content("c", "assistant")),
        ]
        first, second = tree_of(tree_nodes, "c", all_branches=False).items
        assert first.created_at is not None
        assert second.created_at is not None
        marked = (second.metadata or {})["time"]
        if timed is None:
            assert (second.created_at, marked) == (first.created_at, "interpolated")
        else:
            assert second.created_at < first.created_at
            assert marked == "before the turn it answers"


@given(nodes(), st.data())
def test_times_ascend_or_are_marked(tree_nodes: list[TreeNode], data: st.DataObject) -> None:
    current = data.draw(st.sampled_from([node.id for node in tree_nodes]))
    tree = tree_of(tree_nodes, current, all_branches=False)
    for before, item in pairwise(tree.items):
        assert before.created_at is not None
        assert item.created_at is not None
        forth = datetime.fromisoformat(item.created_at) >= datetime.fromisoformat(before.created_at)
        assert forth or (item.metadata or {})["time"] == "before the turn it answers"
    timed = {n.id for n in tree_nodes if n.time is not None}
    for item in tree.items:
        if item.created_at and (item.metadata or {}).get("time") == "interpolated":
            assert not set(texts(TreeItems([item], None, {}))[:1]) & timed


@given(nodes(), st.data())
def test_item_ids_do_not_depend_on_branches(
    tree_nodes: list[TreeNode], data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from([node.id for node in tree_nodes]))
    active = tree_of(tree_nodes, current, all_branches=False).items
    everything = {item.id: item for item in tree_of(tree_nodes, current, all_branches=True).items}
    assert all(everything[item.id] == item for item in active)
