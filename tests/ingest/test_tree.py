"""Conversations that branch, made up at random: nothing of the live branch is lost or doubled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.tree import Grown, Node, Said, grow

START = 1_700_000_000_000_000
ROLES = ("user", "assistant", "tool", "system")


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    """Return nodes in any order, with parents that are there, are missing, or make a circle."""
    count = draw(st.integers(1, 25))
    keys = [f"n{number}" for number in range(count)]
    made = [
        Node(
            key,
            parent=draw(st.sampled_from([*keys[:number][-4:], *keys[:1], None, "missing"]))
            if draw(st.integers(0, 20))
            else draw(st.sampled_from(keys)),
            time=draw(st.none() | st.integers(START, START + 10_000_000)),
            said=draw(st.none() | st.builds(_said, st.just(key), st.sampled_from(ROLES))),
        )
        for number, key in enumerate(keys)
    ]
    for node in made:
        if node.said is None and draw(st.booleans()):
            node.skipped = "hidden"
    return draw(st.permutations(made))


def _said(key: str, role: str) -> Said:
    kind = "output" if role == "tool" else "message"
    return Said(kind, role, [key], ends_turn=key[-1] in "02468")  # type: ignore[arg-type]


def path(made: Sequence[Node], current: str) -> list[str]:
    """Return the keys from a node to the root, as a reader would follow them."""
    by_key = {node.id: node for node in made}
    found: list[str] = []
    at: str | None = current
    while at in by_key and at not in found:
        found.append(at)
        at = by_key[at].parent
    return found[::-1]


def texts(grown: Grown) -> list[str]:
    """Return the words of all items: the keys of the nodes that they came from."""
    found: list[str] = []
    for item in grown.items:
        value = json.loads(item.raw)
        content = value.get("content", value.get("output"))
        found += content.split("\n") if isinstance(content, str) else [p["text"] for p in content]
    return found


def grown_from(made: Sequence[Node], current: str | None, *, all_branches: bool) -> Grown:
    copies = [Node(n.id, n.parent, n.time, n.said, n.skipped) for n in made]
    return grow("talk", copies, current, all_branches=all_branches, begun=START)


@given(nodes(), st.data())
def test_the_live_branch_is_there_once_and_in_order(made: list[Node], data: st.DataObject) -> None:
    current = data.draw(st.sampled_from([node.id for node in made]))
    said = {node.id for node in made if node.said is not None}
    grown = grown_from(made, current, all_branches=False)
    assert texts(grown) == [key for key in path(made, current) if key in said]
    assert [item.parent for item in grown.items] == [
        None,
        *(item.id for item in grown.items),
    ][: len(grown.items)]


def test_what_goes_on_below_the_end_of_the_live_branch_is_not_part_of_it() -> None:
    made = [
        Node("n1", None, START, _said("n1", "assistant")),
        Node("n0", "n1", START + 1, _said("n0", "assistant")),
    ]
    for current, live in (("n1", ["n1"]), ("n0", ["n1", "n0"])):
        grown = grown_from(made, current, all_branches=False)
        assert len(grown.items) == 1
        assert texts(grown) == live
    everything = grown_from(made, "n1", all_branches=True)
    assert texts(everything) == ["n1", "n0"]
    assert everything.head == everything.items[0].id


@given(nodes(), st.data())
def test_everything_that_was_said_is_kept_or_counted(made: list[Node], data: st.DataObject) -> None:
    current = data.draw(st.none() | st.sampled_from([node.id for node in made]))
    everything = grown_from(made, current, all_branches=True)
    assert sorted(texts(everything)) == sorted(n.id for n in made if n.said is not None)
    assert sum(everything.skipped.values()) == sum(n.skipped is not None for n in made)
    live = grown_from(made, current, all_branches=False)
    assert len(live.items) + sum(live.skipped.values()) == len(everything.items) + sum(
        everything.skipped.values()
    )


@given(nodes(), st.data())
def test_parents_come_first_and_the_live_branch_last(made: list[Node], data: st.DataObject) -> None:
    current = data.draw(st.sampled_from([node.id for node in made]))
    grown = grown_from(made, current, all_branches=True)
    seen: set[str | None] = {None}
    for item in grown.items:
        assert item.parent in seen
        assert item.id not in seen
        seen.add(item.id)
    live = grown_from(made, current, all_branches=False)
    assert {item.id for item in live.items} <= seen
    assert grown.head == live.head


def test_a_node_that_says_nothing_does_not_turn_back_the_time() -> None:
    """The node between is earlier than what it hangs on, and what hangs on it answers that."""
    for own in (None, START + 7):
        made = [
            Node("a", None, START + 10, _said("a", "user")),
            Node("b", "a", START + 5),
            Node("c", "b", own, _said("c", "assistant")),
        ]
        first, second = grown_from(made, "c", all_branches=False).items
        assert first.created_at is not None
        assert second.created_at is not None
        marked = (second.metadata or {})["time"]
        if own is None:
            assert (second.created_at, marked) == (first.created_at, "interpolated")
        else:
            assert second.created_at < first.created_at
            assert marked == "before the turn it answers"


@given(nodes(), st.data())
def test_times_do_not_go_back_or_are_marked(made: list[Node], data: st.DataObject) -> None:
    current = data.draw(st.sampled_from([node.id for node in made]))
    grown = grown_from(made, current, all_branches=False)
    for before, item in pairwise(grown.items):
        assert before.created_at is not None
        assert item.created_at is not None
        forth = datetime.fromisoformat(item.created_at) >= datetime.fromisoformat(before.created_at)
        assert forth or (item.metadata or {})["time"] == "before the turn it answers"
    own = {n.id for n in made if n.time is not None}
    for item in grown.items:
        if item.created_at and (item.metadata or {}).get("time") == "interpolated":
            assert not set(texts(Grown([item], None, {}))[:1]) & own


@given(nodes(), st.data())
def test_an_item_has_the_same_id_whichever_branches_are_asked_for(
    made: list[Node], data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from([node.id for node in made]))
    live = grown_from(made, current, all_branches=False).items
    everything = {item.id: item for item in grown_from(made, current, all_branches=True).items}
    assert all(everything[item.id] == item for item in live)
