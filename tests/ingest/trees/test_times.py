"""Missing times are interpolated between the known times, and marked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ingest.transcripts import FormatOptions, Location, TranscriptItem
from ingest.trees.builder import TranscriptBuilder
from ingest.trees.nodes import NodeContent, TreeNode
from ingest.trees.times import TimedNode, fill_times
from ingest.trees.tree_items import tree_items

LOCATION = Location("talk.jsonl", 1)


def fill(
    *times: int | None, begun: int | None = None, not_turns: tuple[int, ...] = ()
) -> list[tuple[int | None, str | None]]:
    """Return the times of a chain of nodes with their marks."""
    nodes = [
        TimedNode(
            str(number), str(number - 1) if number else None, time, is_turn=number not in not_turns
        )
        for number, time in enumerate(times)
    ]
    filled = fill_times(nodes, begun)
    return [tuple(filled[node.id]) for node in nodes]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0, None, 10), (0, 5, 10)),
        ((0, None, None, 30), (0, 10, 20, 30)),
        ((0, None, None, None, 40), (0, 10, 20, 30, 40)),
        ((7, None, None), (7, 7, 7)),
        ((None, None, 9), (9, 9, 9)),
        ((10, None, 4), (10, 10, 4)),
        ((None, None), (None, None)),
    ],
)
def test_missing_times_divide_span_evenly(
    times: tuple[int | None, ...], expected: tuple[int | None, ...]
) -> None:
    assert tuple(time for time, _ in fill(*times)) == expected


def test_filled_times_are_marked() -> None:
    assert fill(0, None, 10) == [(0, None), (5, "interpolated"), (10, None)]
    assert fill(None) == [(None, "unknown")]
    assert fill(10, 4) == [(10, None), (4, "before the turn it answers")]


def test_nodes_without_content_count_as_missing_times() -> None:
    times = [time for time, _ in fill(0, None, None, 30, not_turns=(1,))]
    assert times == [0, 10, 20, 30]


def test_begin_of_conversation_is_time_above_first_node() -> None:
    assert fill(None, 10, begun=0) == [(5, "interpolated"), (10, None)]
    assert fill(None, begun=3) == [(3, "interpolated")]


def test_first_turn_before_begin_is_not_marked() -> None:
    assert fill(5, 8, begun=7) == [(5, None), (8, None)]


@pytest.mark.parametrize("times", [(0, None, 10), (0, None, None, 31), (None, None, 5), (9, 4)])
def test_builder_and_tree_fill_times_alike(times: tuple[int | None, ...]) -> None:
    builder = TranscriptBuilder("talk")
    nodes = []
    for number, time in enumerate(times):
        created_at = None if time is None else f"1970-01-01T00:00:{time:02}+00:00"
        builder.add({"number": number}, parent=builder.last, created_at=created_at)
        parent = str(number - 1) if number else None
        microseconds = None if time is None else time * 1_000_000
        nodes.append(TreeNode(str(number), parent, microseconds, NodeContent("message", "user")))
    chain = builder.build(LOCATION, builder.last, FormatOptions())
    tree = tree_items("talk", nodes, None, all_branches=False, begun=None)
    assert _times(chain.items) == _times(tree.items)


def _times(items: Sequence[TranscriptItem]) -> list[tuple[str | None, str | None]]:
    return [(item.created_at, (item.metadata or {}).get("time")) for item in items]
