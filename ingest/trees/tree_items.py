"""The items of a conversation that branches, from the nodes of its tree.

A format makes the nodes. The rest does not depend on the format and is done here, in four stages:
the shape of the tree, its turns, their times, their items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ingest.items.fields import metadata_of, rfc3339
from ingest.items.openai_items import call_item, call_output_item, message_item, reasoning_item
from ingest.transcripts import TranscriptItem, derived_id
from ingest.trees.nodes import NOT_ACTIVE, TreeNode, path_to_root
from ingest.trees.shape import TreeShape, shape_of
from ingest.trees.times import NodeTime, TimedNode, fill_times
from ingest.trees.turns import TurnLinks, continues, link_turns, nodes_of_turn


@dataclass(frozen=True, slots=True)
class TreeItems:
    """The items of a tree, parents first and the active branch last, and what was left out."""

    items: Sequence[TranscriptItem]
    head: str | None
    skipped: Mapping[str, int]


def tree_items(
    conversation_id: str,
    nodes: Iterable[TreeNode],
    current: str | None,
    *,
    all_branches: bool,
    begun: int | None,
) -> TreeItems:
    """Return the items of a tree, of all branches or of the active one.

    `current` is the node in which the active branch ends, by default the newest leaf. `begun` is
    when the conversation began, in microseconds since the epoch, for times missing at its start.
    """
    by_id = {node.id: node for node in nodes}
    shape = shape_of(by_id, current)
    links = link_turns(by_id, shape)
    times = _times(by_id, shape, begun)
    skipped: Counter[str] = Counter()
    items: list[TranscriptItem] = []
    item_ids: dict[str, str] = {}
    for node_id in shape.order:
        is_wanted = all_branches or node_id in shape.active
        reason = by_id[node_id].skipped
        if reason is not None:
            skipped[reason if is_wanted else NOT_ACTIVE] += 1
        elif node_id in links.contents and not continues(links, node_id):
            if not is_wanted:
                skipped[NOT_ACTIVE] += 1
                continue
            group = tuple(nodes_of_turn(links, node_id))
            item = _item(conversation_id, group, links, times[node_id], item_ids)
            item_ids.update(dict.fromkeys(group, item.id))
            items.append(item)
    return TreeItems(items, _head(shape, item_ids), skipped)


def _times(
    nodes: Mapping[str, TreeNode], shape: TreeShape, begun: int | None
) -> dict[str, NodeTime]:
    timed = (
        TimedNode(
            node_id,
            shape.parents[node_id],
            nodes[node_id].time,
            is_turn=nodes[node_id].content is not None,
        )
        for node_id in shape.order
    )
    return fill_times(list(timed), begun)


def _head(shape: TreeShape, item_ids: Mapping[str, str]) -> str | None:
    path = path_to_root(shape.leaf, shape.parents)
    return next((item_ids[node_id] for node_id in path if node_id in item_ids), None)


def _item(
    conversation_id: str,
    group: Sequence[str],
    links: TurnLinks,
    time: NodeTime,
    item_ids: Mapping[str, str],
) -> TranscriptItem:
    """Return the item of a turn; where its nodes differ, the first one is used."""
    above = links.parents[group[0]]
    pairs = {
        name: value
        for node_id in reversed(group)
        for name, value in links.contents[node_id].metadata.items()
        if value
    }
    return TranscriptItem(
        id=derived_id("item", conversation_id, *group),
        parent=None if above is None else item_ids[above],
        raw=_raw(conversation_id, group, links),
        created_at=rfc3339(time.time),
        name=links.contents[group[0]].name,
        metadata=metadata_of({**pairs, "time": time.mark}),
    )


def _raw(conversation_id: str, group: Sequence[str], links: TurnLinks) -> str:
    node_id = group[0]
    content = links.contents[node_id]
    texts = [text for member in group for text in links.contents[member].texts]
    if content.kind == "call":
        call_id = derived_id("call", conversation_id, node_id)
        return call_item(call_id, content.tool, content.arguments)
    if content.kind == "output":
        answered = links.answers[node_id]
        call_id = derived_id("call", conversation_id, answered)
        return call_output_item(call_id, links.contents[answered].arguments, texts)
    if content.kind == "reasoning":
        return reasoning_item(texts)
    return message_item(content.role, texts)
