"""The alignment of sent histories with stored conversations, on generated conversations."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memory_service.gateway.history_alignment import (
    BEGINNING,
    Alignment,
    HistoryNode,
    SentMessage,
    align,
)
from memory_service.items.message_hash import message_hash
from tests.support.factories import message

Messages = list[dict[str, Any]]


def assistant_calls(*ids: str, arguments: str = '{"city":"Oslo"}') -> dict[str, Any]:
    function = {"name": "look_up", "arguments": arguments}
    tool_calls = [{"id": call_id, "type": "function", "function": function} for call_id in ids]
    return message(None, "assistant", tool_calls=tool_calls)


def respell(original: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return an equal message in another spelling, as a client may send it."""
    again = {key: value for key, value in original.items() if value is not None}
    if isinstance(again.get("content"), str):
        text = again["content"] + chance.choice(["", " ", "\n"])
        again["content"] = chance.choice([text, [{"type": "text", "text": text}]])
    if original["role"] == "assistant":
        again.update(chance.choice([{}, {"refusal": None}, {"annotations": [], "audio": None}]))
        again.setdefault("content", chance.choice(["", None]))
    for call in again.get("tool_calls", ()):
        arguments = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
        call["function"] = {**call["function"], "arguments": arguments}
    return again


@dataclass
class StoredHistory:
    """A stored conversation: an active branch, and another branch that begins at `fork`."""

    messages: Messages
    branch: Messages = field(default_factory=list)
    fork: int = 0

    @property
    def tree(self) -> list[HistoryNode]:
        """The stored turns: those of the active branch, then those of the other."""
        path = [self.node(entry, n, n - 1, active=True) for n, entry in enumerate(self.messages, 1)]
        begin = len(path) + 1
        side = [
            self.node(entry, n, self.fork if n == begin else n - 1, active=False)
            for n, entry in enumerate(self.branch, begin)
        ]
        return path + side

    @staticmethod
    def node(sent: dict[str, Any], key: int, parent: int, *, active: bool) -> HistoryNode:
        """Return the stored turn of a message."""
        optional = sent["role"] == "tool" or bool(sent.get("tool_calls"))
        digest = message_hash(sent)
        return HistoryNode(
            key, parent or None, key, active, sent["role"], digest, f"item_{key}", optional
        )

    @property
    def head(self) -> int | None:
        """The end of the active branch."""
        return len(self.messages) or None

    def align(self, sent: Sequence[dict[str, Any]], *, is_retry: bool = False) -> Alignment:
        """Align messages with this conversation."""
        return align(self.tree, self.head, as_sent(sent), is_retry=is_retry)


def as_sent(messages: Sequence[dict[str, Any]]) -> list[SentMessage]:
    return [SentMessage(message_hash(entry), entry["role"], entry.get("id")) for entry in messages]


def exchange(number: int, tools: int = 0) -> Messages:
    """Return a question and its answer, with calls of tools between them."""
    ids = [f"call_{number}_{position}" for position in range(tools)]
    tool_group = (
        [assistant_calls(*ids), *(message("4", "tool", tool_call_id=call_id) for call_id in ids)]
        if ids
        else []
    )
    answer = message(f"answer {number}", "assistant")
    return [message(f"question {number}"), *tool_group, answer]


@st.composite
def histories(draw: st.DrawFn, least: int = 1) -> StoredHistory:
    tools = draw(st.lists(st.integers(0, 2), min_size=least, max_size=6))
    path = [entry for number, many in enumerate(tools) for entry in exchange(number, many)]
    side = [entry for number in range(draw(st.integers(0, 2))) for entry in exchange(100 + number)]
    ends = [
        n for n, entry in enumerate(path, 1) if entry["role"] == "assistant" and entry["content"]
    ]
    return StoredHistory(path, side, draw(st.sampled_from(ends or [0])))


HISTORIES = histories()
CHANCE = st.randoms(use_true_random=False)
NEW = message("something new")


def respell_all(messages: Messages, chance: random.Random) -> Messages:
    return [respell(json.loads(json.dumps(entry)), chance) for entry in messages]


def aligned_position(
    history: StoredHistory, sent: Messages, chance: random.Random
) -> tuple[int | None, int]:
    alignment = history.align(respell_all(sent, chance))
    return alignment.parent_key, alignment.first_new


@given(histories(least=0), CHANCE)
def test_full_history_continues_at_head(history: StoredHistory, chance: random.Random) -> None:
    assert aligned_position(history, [*history.messages, NEW], chance) == (
        history.head,
        len(history.messages),
    )


@given(HISTORIES, CHANCE, st.data())
def test_end_of_history_continues_at_head(
    history: StoredHistory, chance: random.Random, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(1, len(history.messages) - 1))
    sent_history = history.messages[begin:]
    assert aligned_position(history, [*sent_history, NEW], chance) == (
        history.head,
        len(sent_history),
    )


@given(HISTORIES, CHANCE)
def test_summary_before_end_of_history_is_not_new(
    history: StoredHistory, chance: random.Random
) -> None:
    sent_history = [message("The story so far: we talked."), *history.messages[-4:]]
    assert aligned_position(history, [*sent_history, NEW], chance) == (
        history.head,
        len(sent_history),
    )


@given(histories(least=0), CHANCE)
def test_single_new_message_continues_at_head(
    history: StoredHistory, chance: random.Random
) -> None:
    assert aligned_position(history, [NEW], chance) == (history.head, 0)


@given(HISTORIES, CHANCE)
def test_history_without_tool_calls_continues_at_head(
    history: StoredHistory, chance: random.Random
) -> None:
    sent_history = [
        entry
        for entry in history.messages
        if entry["role"] != "tool" and not entry.get("tool_calls")
    ]
    assert aligned_position(history, [*sent_history, NEW], chance) == (
        history.head,
        len(sent_history),
    )


def user_turns(history: StoredHistory) -> list[int]:
    return [n for n, entry in enumerate(history.messages) if entry["role"] == "user"]


@given(histories(least=2), CHANCE, st.data())
def test_edited_message_branches_at_its_parent(
    history: StoredHistory, chance: random.Random, data: st.DataObject
) -> None:
    edited = data.draw(st.sampled_from(user_turns(history)[1:]))
    assert aligned_position(history, [*history.messages[:edited], NEW], chance) == (edited, edited)


@given(HISTORIES, CHANCE, st.data())
def test_repeated_question_is_not_new(
    history: StoredHistory, chance: random.Random, data: st.DataObject
) -> None:
    question = data.draw(st.sampled_from(user_turns(history)))
    sent = history.messages[: question + 1]
    # A single message of a longer conversation may be a new one.
    assume(len(sent) > 1 or len(user_turns(history)) == 1)
    assert aligned_position(history, sent, chance) == (question + 1, question + 1)


@given(HISTORIES, CHANCE)
def test_history_of_another_branch_continues_that_branch(
    history: StoredHistory, chance: random.Random
) -> None:
    sent = [*history.messages[: history.fork], *history.branch]
    end = len(history.messages) + len(history.branch) if history.branch else history.fork
    assert aligned_position(history, [*sent, NEW], chance) == (end, len(sent))


@given(HISTORIES, CHANCE)
def test_unanswered_question_is_not_new(history: StoredHistory, chance: random.Random) -> None:
    extended = StoredHistory([*history.messages, NEW])
    for sent in ([NEW], [*history.messages[-1:], NEW], extended.messages):
        assert aligned_position(extended, sent, chance) == (extended.head, len(sent))


VOCABULARY = [message(text, role) for text in ("hi", "ok", "no") for role in ("user", "assistant")]


@given(st.lists(st.sampled_from(VOCABULARY)), st.lists(st.sampled_from(VOCABULARY), min_size=1))
def test_any_history_matches_equal_messages_or_is_new(path: Messages, sent: Messages) -> None:
    history = StoredHistory(path)
    alignment = history.align(sent)
    assert 0 <= alignment.first_new <= len(sent)
    end, matched = alignment.parent_key or 0, alignment.matched
    assert alignment.first_new or end == (history.head or 0)
    assert path[end - matched : end] == sent[alignment.first_new - matched : alignment.first_new]


HISTORY = StoredHistory([*exchange(1), *exchange(2), *exchange(3)])


@pytest.mark.parametrize("is_retry", [True, False])
def test_retry_of_last_question_alone_is_not_new(*, is_retry: bool) -> None:
    fresh = [replace(node, fresh=True) for node in HISTORY.tree]
    alignment = align(fresh, HISTORY.head, as_sent([message("question 3")]), is_retry=is_retry)
    assert (alignment.parent_key, alignment.first_new) == ((5, 1) if is_retry else (6, 0))


@pytest.mark.parametrize(
    ("text", "item", "expected"),
    [
        ("question 2", "item_3", (3, 1)),
        ("question 2", "another", (6, 0)),
        ("question 3", "item_3", (6, 0)),
    ],
)
def test_message_id_matches_one_turn(text: str, item: str, expected: tuple[int, int]) -> None:
    alignment = HISTORY.align([message(text, id=item)])
    assert (alignment.parent_key, alignment.first_new) == expected


def test_repeated_word_does_not_match() -> None:
    history = StoredHistory(
        [*exchange(1), message("yes"), message("fine", "assistant"), *exchange(2)]
    )
    assert history.align([message("yes")]) == Alignment(history.head, 0)
    unknown = history.align([message("yes"), message("odd", "assistant"), NEW])
    assert unknown == Alignment(history.head, 0, follows_key=BEGINNING)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (message("a"), message("b")),
        (message("a"), message("a", "assistant")),
        (message("a", name="ann"), message("a", name="bob")),
        (assistant_calls("c1"), assistant_calls("c2")),
        (assistant_calls("c1"), assistant_calls("c1", arguments='{"city":"Rome"}')),
        (message("4", "tool", tool_call_id="c1"), message("4", "tool", tool_call_id="c2")),
        (
            message([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]),
            message([{"type": "image_url", "image_url": {"url": "https://x.test/b.png"}}]),
        ),
    ],
)
def test_different_messages_have_different_hashes(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert message_hash(first) != message_hash(second)


def stored(*entries: tuple[int | None, dict[str, Any]], **changes: Any) -> list[HistoryNode]:
    """Return an active branch; each entry has the turn before it in the history of its client.

    `sent=[keys]` marks messages of the client's own, `pending=[keys]` those without an answer yet.
    """
    nodes = []
    for key, (follows, entry) in enumerate(entries, 1):
        parent = key - 1 or None
        node = HistoryNode(
            key,
            parent,
            key,
            active=True,
            role=entry["role"],
            digest=message_hash(entry),
            id=f"item_{key}",
            from_request=entry["role"] == "user" or key in changes.get("sent", ()),
            pending=key in changes.get("pending", ()),
            follows_key=None if follows == parent else follows or BEGINNING,
        )
        nodes.append(node)
    return nodes


HELLO = message("Hello!", "assistant")
EXAMPLES = [message("2+2"), message("4", "assistant"), message("1+1"), message("2", "assistant")]
MY, YOURS = message("My dog is Bo."), message("Noted.", "assistant")
HIS, ITS = message("His cat is Mia."), message("Sure.", "assistant")
NEXT = message("And then?")


def placed(
    tree: list[HistoryNode], *sent: dict[str, Any], **options: Any
) -> tuple[int | None, int, int | None]:
    """Return the parent of the new messages, the first of them, and the turn that they follow."""
    alignment = align(tree, len(tree) or None, as_sent(sent), **options)
    return alignment.parent_key, alignment.first_new, alignment.follows_key


GREETED = stored((None, HELLO), (1, MY), (2, YOURS), sent=[1])
FEW_SHOT = stored(
    *((key or None, entry) for key, entry in enumerate(EXAMPLES)), (4, MY), (5, YOURS), sent=[2, 4]
)


@pytest.mark.parametrize(
    ("tree", "sent", "expected"),
    [
        (GREETED, [HELLO, HIS], (3, 1, 1)),
        (GREETED, [HELLO, MY, YOURS, HIS], (3, 3, None)),
        # Its only question again asks for another answer.
        (GREETED, [HELLO, MY], (2, 2, None)),
        # Another greeting is a history that begins with it.
        (GREETED, [message("Welcome!", "assistant"), HIS], (3, 0, BEGINNING)),
        (FEW_SHOT, [*EXAMPLES, HIS], (6, 4, 4)),
        (FEW_SHOT, [*EXAMPLES[:3], message("two", "assistant"), HIS], (6, 3, 3)),
        # With an answer of a model it is an edit.
        (FEW_SHOT, [*EXAMPLES, MY, YOURS, HIS], (6, 6, None)),
        (
            stored((None, MY), (1, YOURS), (2, HIS), (3, ITS)),
            [MY, YOURS, NEXT],
            (2, 2, None),
        ),
    ],
)
def test_fixed_prefix_is_no_edit(
    tree: list[HistoryNode], sent: Messages, expected: tuple[int, int, int | None]
) -> None:
    assert placed(tree, *sent) == expected


SESSIONS = stored((None, HELLO), (1, MY), (2, YOURS), (1, HIS), (4, ITS), sent=[1])
"""Two sessions that begin with the same greeting."""


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([HELLO, HIS, ITS, NEXT], (5, 3, None)),
        # The first session continues behind the second one, and takes nothing away.
        ([HELLO, MY, YOURS, NEXT], (5, 3, 3)),
        ([HELLO, NEXT], (5, 1, 1)),
        # Its question again: the second session would leave the active branch.
        ([HELLO, MY], (5, 1, 1)),
        ([HELLO, HIS], (4, 2, None)),
    ],
)
def test_sessions_in_one_conversation_are_threads(
    sent: Messages, expected: tuple[int, int, int | None]
) -> None:
    assert placed(SESSIONS, *sent) == expected


def test_edit_in_one_thread_keeps_the_others() -> None:
    continued = stored(
        (None, HELLO), (1, MY), (2, YOURS), (1, HIS), (4, ITS), (3, NEXT), (6, HELLO), sent=[1]
    )
    other = message("Never mind.")
    # The last question of the first session: only its answer is replaced.
    assert placed(continued, HELLO, MY, YOURS, NEXT) == (6, 4, None)
    # An edit of it would be a branch below the first session, without the second one.
    assert placed(continued, HELLO, MY, YOURS, other) == (7, 3, 3)


def test_beginning_of_two_threads_is_no_edit() -> None:
    threads = stored((None, MY), (1, YOURS), (2, HIS), (3, ITS), (2, NEXT), (5, ITS))
    assert placed(threads, MY, YOURS, message("A third one.")) == (6, 2, 2)


def test_quoted_exchange_is_no_edit() -> None:
    exchanges = [entry for number in range(1, 5) for entry in exchange(number)]
    tree = stored(*((key or None, entry) for key, entry in enumerate(exchanges)))
    assert placed(tree, *exchange(2), NEXT) == (8, 2, 4)
    assert placed(tree, *exchange(2), *exchange(3), NEXT) == (6, 4, None)
    assert placed(tree, *exchange(3), NEXT) == (6, 2, None)


def test_parallel_requests_follow_what_their_clients_know() -> None:
    pending = stored((None, MY), (1, YOURS), (2, HIS), pending=[3])
    assert placed(pending, MY, YOURS, NEXT) == (3, 2, 2)
    assert placed(pending, NEXT) == (3, 0, 2)
    assert placed(stored((None, MY), pending=[1]), NEXT) == (1, 0, BEGINNING)
    # The same message again is the same turn.
    assert placed(pending, HIS) == (3, 1, None)


def test_edit_keeps_pending_requests_of_others() -> None:
    tree = stored((None, MY), (1, YOURS), (2, HIS), (3, ITS), (4, NEXT), pending=[5])
    assert placed(tree, MY, YOURS, message("Other")) == (5, 2, 2)


def test_tool_results_behind_another_request_are_no_edit() -> None:
    tree = stored((None, MY), (1, assistant_calls("c1")), (2, HIS), (3, ITS))
    result = message("4", "tool", tool_call_id="c1")
    assert placed(tree, MY, assistant_calls("c1"), result) == (4, 2, 2)


@pytest.mark.parametrize("single", [True, False])
def test_message_after_broken_answer_is_the_same_turn(*, single: bool) -> None:
    path = [MY, YOURS, HIS, ITS]
    tree = stored(*((key or None, entry) for key, entry in enumerate(path)))
    sent = path[2:3] if single else path[:3]
    assert placed(tree, *sent) == ((4, 0, None) if single else (3, 3, None))
    broken = [*tree[:3], replace(tree[3], broken_off=True)]
    assert placed(broken, *sent) == (3, len(sent), None)


def test_first_message_much_later_is_a_new_session() -> None:
    tree = [replace(node, old=True) for node in stored((None, MY), (1, YOURS))]
    assert placed(tree, MY) == (2, 0, None)
    assert placed(tree[:1], MY) == (1, 1, None)


@pytest.mark.parametrize(
    ("tree", "sent", "expected"),
    [
        (stored((None, MY), (1, YOURS)), [MY, YOURS, NEXT], True),
        (stored((None, MY), (1, YOURS)), [NEXT], False),
        (stored((None, MY), (1, YOURS)), [MY], False),
        (stored((None, MY)), [MY], True),
        (stored((None, MY), pending=[1]), [MY], False),
        (GREETED, [HELLO, HIS], False),
        (GREETED, [HELLO, MY, YOURS, HIS], True),
        (GREETED[:2], [HELLO, MY], True),
        (FEW_SHOT, [*EXAMPLES, HIS], False),
        (FEW_SHOT[:5], [*EXAMPLES, MY], True),
    ],
)
def test_history_belongs_to_conversation_by_evidence(
    tree: list[HistoryNode], sent: Messages, *, expected: bool
) -> None:
    alignment = align(tree, len(tree), as_sent(sent))
    assert alignment.is_continuation is expected


THOUGHT = "<think>They greet me.</think>\n\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (message(f"{THOUGHT}hi", "assistant"), message("hi", "assistant")),
        (message(f"{THOUGHT}{THOUGHT}hi", "assistant"), message("hi", "assistant")),
        (message("They greet me.</think>hi", "assistant"), message("hi", "assistant")),
        (
            message("hi", "assistant", reasoning_content="Hm.", reasoning="Hm."),
            message("hi", "assistant"),
        ),
        (
            message([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "hi"}]),
            message("hi"),
        ),
        (
            message([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]),
            message("hi"),
        ),
        ({**assistant_calls("c1"), "content": THOUGHT}, assistant_calls("c1")),
    ],
)
def test_thoughts_and_marks_do_not_change_the_hash(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert message_hash(first) == message_hash(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (message(f"{THOUGHT}hi"), message("hi")),
        (message("Write <think>a</think>b", "assistant"), message("Write b", "assistant")),
        (message("Write <think>a</think>b", "assistant"), message("b", "assistant")),
    ],
)
def test_tags_within_a_text_are_part_of_it(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert message_hash(first) != message_hash(second)


def test_same_exchange_in_another_thread_is_a_coincidence() -> None:
    entries = [(None, HELLO), (1, MY), (2, YOURS), (1, HIS), (4, YOURS), (3, NEXT), (6, ITS)]
    tree = stored(*entries, sent=[1])
    assert placed(tree, HELLO, HIS, YOURS, NEXT) == (7, 3, 5)
    # A client that has read the active branch sends it in that order.
    assert placed(tree, *(entry for _, entry in entries), MY) == (7, 7, None)
