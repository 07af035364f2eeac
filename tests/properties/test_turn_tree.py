"""The tree of turns is compared with a model in plain Python after each random operation."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from memory_service.conversations.requests import Below, ConversationChange
from memory_service.core.models import ScopeMember
from memory_service.core.settings import Settings
from memory_service.recall.caches.branch_cache import ActiveBranch, BranchCache
from memory_service.recall.caches.vector_cache import ConversationVectors, VectorCache
from tests.support.environment import LONG
from tests.support.factories import function_call, function_output, message
from tests.support.storing import append, attempt, create, findings, idle_service, project_key

PICK = st.integers(0, 10_000)
COUNT = st.integers(1, 3)
PAUSE = 3_600_000_000


def assert_equal_fields(
    actual: ActiveBranch | ConversationVectors, expected: ActiveBranch | ConversationVectors
) -> None:
    for field in fields(actual):
        np.testing.assert_array_equal(getattr(actual, field.name), getattr(expected, field.name))


@dataclass
class Node:
    """A turn of the model."""

    seq: int
    parent: str | None
    group: str | None
    gap_before: bool = False
    is_call: bool = False


class Tree(RuleBasedStateMachine):
    """A conversation in the log, and its model: they are equal after every step."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        settings = Settings(data_dir=Path(folder) / "data")
        self.service = self._stack.enter_context(idle_service(settings))
        self.nodes: dict[str, Node] = {}
        self.head: str | None = None
        self.next_seq = 1
        self.names = 0
        self.owners: dict[int, str] = {}
        self.paths, self.vectors = BranchCache(PAUSE), VectorCache(64, 2**20)

    def teardown(self) -> None:
        """Close the log and remove its folder."""
        self._stack.close()

    @initialize()
    def begin(self) -> None:
        """Create the conversation, and another that must not change."""
        create(self.service, "bystander", "untouched")
        create(self.service, "c")

    @rule(count=COUNT)
    def append_messages(self, count: int) -> None:
        """Append below the head."""
        self._append([self._message() for _ in range(count)], Below.HEAD, self.head)

    @rule(calls=COUNT)
    def append_parallel_tool_calls(self, calls: int) -> None:
        """Append parallel calls, which are one tool group."""
        self._append([self._call() for _ in range(calls)], Below.HEAD, self.head)

    @precondition(lambda self: self._active_calls())
    @rule(pick=PICK)
    def append_tool_result(self, pick: int) -> None:
        """Append the result of a call on the active branch: it joins the call's tool group."""
        calls = self._active_calls()
        answered = function_output(f"call-{calls[pick % len(calls)]}")
        self._append([{**answered, "id": self._name()}], Below.HEAD, self.head)

    @precondition(lambda self: self.nodes)
    @rule(pick=PICK, count=COUNT)
    def branch_below_any_turn(self, pick: int, count: int) -> None:
        """Append below a turn of any branch."""
        parent = self._pick(pick)
        self._append([self._message() for _ in range(count)], parent, parent)

    @rule(count=COUNT)
    def branch_below_root(self, count: int) -> None:
        """Append below the root: a new branch from the beginning."""
        self._append([self._message() for _ in range(count)], Below.ROOT, None)

    @precondition(lambda self: self.nodes)
    @rule(pick=PICK)
    def set_head(self, pick: int) -> None:
        """Activate another branch."""
        self.head = self._pick(pick)
        self.service.writer.update_conversation(
            project_key(self.service),
            "c",
            ConversationChange(head_id=self.head),
            attempt(),
        )

    @precondition(lambda self: self.nodes)
    @rule(pick=PICK)
    def delete_tool_group(self, pick: int) -> None:
        """Delete a turn with its tool group; its children get its parent, and a gap before them."""
        chosen = self._pick(pick)
        group = self.nodes[chosen].group
        deleted = {chosen} | {
            name for name, node in self.nodes.items() if group and node.group == group
        }
        _, receipt = self.service.deletions.delete_item(project_key(self.service), "c", chosen)
        assert receipt.counts["turns"] == len(deleted)
        for name, node in self.nodes.items():
            if node.parent in deleted and name not in deleted:
                node.parent, node.gap_before = self._survivor(node.parent, deleted), True
        self.head = self._survivor(self.head, deleted)
        self.nodes = {name: node for name, node in self.nodes.items() if name not in deleted}

    @rule()
    def delete_conversation(self) -> None:
        """Delete the conversation and create it again with the same id."""
        self.service.deletions.delete_conversation(project_key(self.service), "c")
        create(self.service, "c")
        self.nodes, self.head, self.next_seq = {}, None, 1

    @invariant()
    def log_equals_model(self) -> None:
        """Compare the stored tree with the model."""
        project = project_key(self.service)
        with self.service.log.read() as snapshot:
            conversation = snapshot.conversations.get(project, "c")
            if conversation is None:
                return
            turns = list(snapshot.turns.all(conversation.key))
            rising = snapshot.turns.page(conversation.key, None, 1_000, "asc")
            falling = snapshot.turns.page(conversation.key, None, 1_000, "desc")
        ids = {turn.key: turn.id for turn in turns}
        stored = {
            turn.id: (turn.seq, ids.get(turn.parent_key or 0), turn.gap_before, turn.active)
            for turn in turns
        }
        path = self._path()
        assert stored == {
            name: (node.seq, node.parent, node.gap_before, name in path)
            for name, node in self.nodes.items()
        }
        assert {turn.id: ids.get(turn.tool_group_key or 0) for turn in turns} == {
            name: node.group for name, node in self.nodes.items()
        }
        assert ids.get(conversation.head_key or 0) == self.head
        assert conversation.next_seq == self.next_seq
        assert [turn.id for turn in rising.data] == path
        assert [turn.id for turn in falling.data] == path[::-1]
        for key, name in ids.items():
            assert self.owners.setdefault(key, name) == name

    @invariant()
    def statistics_equal_passages(self) -> None:
        """Compare the counts that every change updates with the stored passages."""
        project = project_key(self.service)
        with self.service.log.read() as snapshot:
            conversation = snapshot.conversations.get(project, "c")
            if conversation is None:
                return
            keys = [turn.key for turn in snapshot.turns.all(conversation.key)]
            lengths = [passage.length for passage in snapshot.passages.of_turns(keys)]
        assert (conversation.passages, conversation.terms) == (len(lengths), sum(lengths))

    @invariant()
    def caches_equal_log(self) -> None:
        """Compare caches that grew with every step with new caches."""
        project = project_key(self.service)
        with self.service.log.read() as snapshot:
            conversation = snapshot.conversations.get(project, "c")
            if conversation is None:
                return
            arguments = snapshot, conversation.key, ScopeMember.of(conversation)
            paths = self.paths.get(*arguments), BranchCache(PAUSE).get(*arguments)
            vectors = self.vectors.get(*arguments), VectorCache(64, 2**20).get(*arguments)
        assert_equal_fields(*paths)
        assert_equal_fields(*vectors)
        assert len(paths[0].turns) == len(self._path())

    @invariant()
    def verify_finds_nothing(self) -> None:
        """Check that `verify` has no findings."""
        assert findings(self.service) == []

    def _append(self, items: list[dict[str, Any]], below: str | Below, parent: str | None) -> None:
        turns = append(self.service, "c", *items, below=below)
        assert [turn.id for turn in turns] == [item["id"] for item in items]
        for item in items:
            group = self._group(item, parent)
            is_call = item.get("type") == "function_call"
            self.nodes[item["id"]] = Node(self.next_seq, parent, group, is_call=is_call)
            self.next_seq += 1
            parent = item["id"]
        self.head = parent

    def _group(self, item: dict[str, Any], parent: str | None) -> str | None:
        if item.get("type") == "function_call_output":
            return self.nodes[item["call_id"].removeprefix("call-")].group
        if item.get("type") != "function_call":
            return None
        if parent is not None and self.nodes[parent].is_call:
            return self.nodes[parent].group
        return str(item["id"])

    def _name(self) -> str:
        self.names += 1
        return f"i{self.names}"

    def _message(self) -> dict[str, Any]:
        name = self._name()
        return message(f"word{name} and more", id=name)

    def _call(self) -> dict[str, Any]:
        name = self._name()
        return function_call(f"call-{name}", id=name)

    def _pick(self, pick: int) -> str:
        return list(self.nodes)[pick % len(self.nodes)]

    def _path(self) -> list[str]:
        path: list[str] = []
        name = self.head
        while name is not None:
            path.append(name)
            name = self.nodes[name].parent
        return path[::-1]

    def _active_calls(self) -> list[str]:
        return [name for name in self._path() if self.nodes[name].is_call]

    def _survivor(self, name: str | None, deleted: set[str]) -> str | None:
        while name is not None and name in deleted:
            name = self.nodes[name].parent
        return name


TestTree = Tree.TestCase
TestTree.settings = hypothesis.settings(
    max_examples=300 if LONG else 25, stateful_step_count=40 if LONG else 20
)
