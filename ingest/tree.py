"""A conversation that branches, as items: which branch is live, who calls whom, and when.

A format fills in nodes; everything that does not depend on its spelling happens here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ingest import openai_items
from ingest.transcripts import Item, derived_id
from memory_service.items.strict_json import dumps

NOT_LIVE = "not on the live branch"


@dataclass(slots=True)
class Said:
    """What a node says.

    `texts` are its parts; of a call, `arguments` is what the tool `tool` is given. `call_id` links
    a call to its output where the source has ids; else the output answers the call before it.
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


@dataclass(slots=True)
class Node:
    """One node: it says something, is left out for a reason, or only holds others together.

    `time` is in microseconds since the epoch.
    """

    id: str
    parent: str | None
    time: int | None = None
    said: Said | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """The items of a tree, parents first and the live branch last, and what was left out."""

    items: Sequence[Item]
    head: str | None
    skipped: Mapping[str, int]


def grow(
    conversation_id: str,
    nodes: Iterable[Node],
    current: str | None,
    *,
    all_branches: bool,
    begun: int | None,
) -> Grown:
    """Return the items of a tree.

    `current` is where the live branch ends; without it, in the newest leaf. `begun` is when the
    conversation began, for nodes without any time around them.
    """
    return _Tree(conversation_id, {node.id: node for node in nodes}, current, begun).items(
        all_branches=all_branches
    )


class _Tree:
    def __init__(
        self, conversation_id: str, nodes: dict[str, Node], current: str | None, begun: int | None
    ) -> None:
        self._id = conversation_id
        self._nodes = nodes
        self._begun = begun
        self._current = current
        self._cut_cycles()
        self._children = self._by_parent(nodes, {key: nodes[key].parent for key in nodes})
        if current not in nodes:
            self._current = self._newest_leaf()
        self._live = set(self._path(self._current))
        self._order = list(self._depth_first())
        self._times = self._interpolated()
        self._said = [key for key in self._order if nodes[key].said is not None]
        self._above = {key: self._speaker_above(key) for key in self._said}
        self._below = self._by_parent(self._said, self._above)
        self._answers = self._link_outputs()
        self._dissolve_halves()

    def items(self, *, all_branches: bool) -> Grown:
        """Return the items of all branches, or of the live one."""
        skipped: Counter[str] = Counter()
        kept: list[Item] = []
        ids: dict[str, str] = {}
        for key in self._order:
            node = self._nodes[key]
            wanted = all_branches or key in self._live
            if node.skipped is not None:
                skipped[node.skipped if wanted else NOT_LIVE] += 1
            elif node.said is not None and not self._continues(key):
                group = list(self._group(key))
                if not wanted:
                    skipped[NOT_LIVE] += 1
                    continue
                item = self._item(group, ids)
                ids.update(dict.fromkeys(group, item.id))
                kept.append(item)
        return Grown(kept, self._head(ids), skipped)

    def _head(self, ids: Mapping[str, str]) -> str | None:
        return next((ids[key] for key in self._path(self._current) if key in ids), None)

    def _cut_cycles(self) -> None:
        """Make every walk to the root end: unknown parents are none, a cycle is cut once."""
        safe: set[str] = set()
        # From where the live branch ends first: what is cut off then is not on it.
        for key in (*filter(self._nodes.__contains__, [self._current]), *self._nodes):
            walked: dict[str, None] = {}
            at: str | None = key
            while at is not None and at not in safe:
                walked[at] = None
                parent = self._nodes[at].parent
                if parent not in self._nodes or parent in walked:
                    self._nodes[at].parent = parent = None
                at = parent
            safe.update(walked)

    @staticmethod
    def _by_parent(
        keys: Iterable[str], parents: Mapping[str, str | None]
    ) -> dict[str | None, list[str]]:
        children: dict[str | None, list[str]] = {}
        for key in keys:
            children.setdefault(parents[key], []).append(key)
        return children

    def _newest_leaf(self) -> str | None:
        leaves = [key for key in self._nodes if key not in self._children]
        # Of equal times the last one in the file; a leaf without a time has its parent's.
        newest, latest = None, -1
        for key in leaves:
            time = next((t for k in self._path(key) if (t := self._nodes[k].time) is not None), 0)
            if time >= latest:
                newest, latest = key, time
        return newest

    def _path(self, key: str | None) -> Iterator[str]:
        while key is not None:
            yield key
            key = self._nodes[key].parent

    def _depth_first(self) -> Iterator[str]:
        """Yield parents before children, and of siblings the live one last."""
        waiting = list(self._last_first(None))
        while waiting:
            key = waiting.pop()
            yield key
            waiting.extend(self._last_first(key))

    def _last_first(self, key: str | None) -> list[str]:
        # A stack gives back first what was put on it last.
        children = self._children.get(key, ())
        return [one for one in children if one in self._live] + [
            one for one in reversed(children) if one not in self._live
        ]

    def _interpolated(self) -> dict[str, tuple[int | None, str | None]]:
        """Return each node's time, and a mark where it is not the source's own.

        Missing times are spread evenly between those before and after along a branch.
        """
        coming: dict[str, tuple[int | None, int]] = {}
        for key in reversed(self._order):
            time = self._nodes[key].time
            after = self._last_first(key)[:1]
            below = coming[after[0]] if after else (None, 0)
            coming[key] = (below[0], below[1] + 1) if time is None else (time, 0)
        found: dict[str, tuple[int | None, str | None]] = {}
        # When the turn was said that a node is, or answers. Nodes between that say nothing may have
        # any time.
        turns: dict[str | None, int | None] = {None: None}
        for key in self._order:
            node = self._nodes[key]
            answered = turns[node.parent]
            parent = found[node.parent][0] if node.parent is not None else None
            if node.time is not None:
                early = answered is not None and node.time < answered
                found[key] = node.time, "before the turn it answers" if early else None
            else:
                known = [time for time in (parent, answered) if time is not None]
                before = max(known) if known else self._begun
                found[key] = _between(before, *coming[key])
            turns[key] = answered if node.said is None else found[key][0]
        return found

    def _speaker_above(self, key: str) -> str | None:
        path = self._path(self._nodes[key].parent)
        return next((one for one in path if self._nodes[one].said is not None), None)

    def _link_outputs(self) -> dict[str, str]:
        """Return the call that each output answers."""
        answers: dict[str, str] = {}
        for key in self._said:
            said = self._says(key)
            above = self._above[key]
            while said.kind == "output" and above is not None:
                other = self._says(above)
                if other.kind == "call" and said.call_id in (None, other.call_id):
                    answers[key] = above
                if other.kind == "message" or key in answers:
                    break
                above = self._above[above]
        return answers

    def _dissolve_halves(self) -> None:
        """Make messages of calls without an answer, and of answers without a call.

        A prompt would leave out both.
        """
        answered = set(self._answers.values())
        for key in self._said:
            said = self._says(key)
            if said.kind == "call" and key not in answered:
                given = said.arguments
                text = given if isinstance(given, str) else dumps(given)
                named = {**said.metadata, "tool": said.tool}
                self._nodes[key].said = replace(said, kind="message", texts=[text], metadata=named)
            elif said.kind == "output" and key not in self._answers:
                self._nodes[key].said = replace(said, kind="message", name=said.tool or None)

    def _says(self, key: str) -> Said:
        said = self._nodes[key].said
        assert said is not None  # noqa: S101 - only nodes that say something are asked
        return said

    def _continues(self, key: str) -> bool:
        """Return whether a node goes on where the one above it stopped: they are one turn."""
        above = self._above[key]
        if above is None or self._only_child(above) is None:
            return False
        if (above in self._live) != (key in self._live):
            # The live branch ends above: what was said below it was taken back.
            return False
        said, before = self._says(key), self._says(above)
        if said.kind != before.kind or said.role != before.role or said.name != before.name:
            return False
        if said.kind == "output":
            return said.call_id is None and self._answers[key] == self._answers[above]
        return said.kind == "message" and said.role == "assistant" and not before.ends_turn

    def _group(self, key: str) -> Iterator[str]:
        yield key
        while (below := self._only_child(key)) is not None and self._continues(below):
            key = below
            yield key

    def _only_child(self, key: str) -> str | None:
        below = self._below.get(key, [])
        return below[0] if len(below) == 1 else None

    def _item(self, group: Sequence[str], ids: Mapping[str, str]) -> Item:
        first = self._says(group[0])
        texts = [text for key in group for text in self._says(key).texts]
        above = self._above[group[0]]
        time, mark = self._times[group[0]]
        pairs = {
            name: value
            for key in reversed(group)
            for name, value in self._says(key).metadata.items()
            if value
        }
        return Item(
            id=derived_id("item", self._id, *group),
            parent=None if above is None else ids[above],
            raw=self._raw(group[0], first, texts),
            created_at=openai_items.rfc3339(time),
            name=first.name,
            metadata=openai_items.metadata({**pairs, "time": mark}),
        )

    def _raw(self, key: str, said: Said, texts: Sequence[str]) -> str:
        if said.kind == "call":
            return openai_items.call(self._call_id(key), said.tool, said.arguments)
        if said.kind == "output":
            call = self._answers[key]
            return openai_items.call_output(self._call_id(call), self._says(call).arguments, texts)
        if said.kind == "reasoning":
            return openai_items.reasoning(texts)
        return openai_items.message(said.role, texts)

    def _call_id(self, key: str) -> str:
        return derived_id("call", self._id, key)


def _between(before: int | None, after: int | None, steps: int) -> tuple[int | None, str]:
    """Return the first of so many times spread evenly between two, and how it is marked."""
    if after is None or (before is not None and after < before):
        after = before
    if before is None:
        before = after
    if before is None or after is None:
        return None, "unknown"
    return before + (after - before) // (steps + 1), "interpolated"
