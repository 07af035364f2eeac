"""What the table of docs/gateway.md decides, over generated talks and clients' spellings."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memory_service.gateway.history_alignment import Alignment, HistoryNode, SentMessage, align
from memory_service.gateway.message_hashes import message_hash
from tests.support.factories import message

Messages = list[dict[str, Any]]


def calls(*ids: str, arguments: str = '{"city":"Oslo"}') -> dict[str, Any]:
    function = {"name": "look_up", "arguments": arguments}
    made = [{"id": one, "type": "function", "function": function} for one in ids]
    return message(None, "assistant", tool_calls=made)


def respelled(one: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return a message as some client would send it again."""
    again = {key: value for key, value in one.items() if value is not None}
    if isinstance(again.get("content"), str):
        said = again["content"] + chance.choice(["", " ", "\n"])
        again["content"] = chance.choice([said, [{"type": "text", "text": said}]])
    if one["role"] == "assistant":
        again.update(chance.choice([{}, {"refusal": None}, {"annotations": [], "audio": None}]))
        again.setdefault("content", chance.choice(["", None]))
    for call in again.get("tool_calls", ()):
        said = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
        call["function"] = {**call["function"], "arguments": said}
    return again


@dataclass
class Talk:
    """A stored conversation: a live path, and the turns of older branches."""

    messages: Messages
    branch: Messages = field(default_factory=list)
    fork: int = 0

    @property
    def tree(self) -> list[HistoryNode]:
        """The stored turns: those of the live path, then the branch."""
        path = [self.node(one, n, n - 1, active=True) for n, one in enumerate(self.messages, 1)]
        begin = len(path) + 1
        side = [
            self.node(one, n, self.fork if n == begin else n - 1, active=False)
            for n, one in enumerate(self.branch, begin)
        ]
        return path + side

    @staticmethod
    def node(one: dict[str, Any], key: int, parent: int, *, active: bool) -> HistoryNode:
        """Return the stored turn of a message."""
        optional = one["role"] == "tool" or bool(one.get("tool_calls"))
        said = message_hash(one)
        return HistoryNode(
            key, parent or None, key, active, one["role"], said, f"item_{key}", optional
        )

    @property
    def head(self) -> int | None:
        """The end of the live path."""
        return len(self.messages) or None

    def align(self, sent: Sequence[dict[str, Any]], *, is_retry: bool = False) -> Alignment:
        """Find messages in this talk."""
        return align(self.tree, self.head, as_sent(sent), is_retry=is_retry)


def as_sent(messages: Sequence[dict[str, Any]]) -> list[SentMessage]:
    return [SentMessage(message_hash(one), one["role"], one.get("id")) for one in messages]


def exchange(number: int, tools: int = 0) -> Messages:
    """Return a question and its answer, with calls of tools between them."""
    ids = [f"call_{number}_{one}" for one in range(tools)]
    unit = [calls(*ids), *(message("4", "tool", tool_call_id=one) for one in ids)] if ids else []
    answer = message(f"answer {number}", "assistant")
    return [message(f"question {number}"), *unit, answer]


@st.composite
def talks(draw: st.DrawFn, least: int = 1) -> Talk:
    tools = draw(st.lists(st.integers(0, 2), min_size=least, max_size=6))
    path = [one for number, many in enumerate(tools) for one in exchange(number, many)]
    side = [one for number in range(draw(st.integers(0, 2))) for one in exchange(100 + number)]
    ends = [n for n, one in enumerate(path, 1) if one["role"] == "assistant" and one["content"]]
    return Talk(path, side, draw(st.sampled_from(ends or [0])))


TALKS = talks()
CHANCE = st.randoms(use_true_random=False)
NEW = message("something new")


def spelled(messages: Messages, chance: random.Random) -> Messages:
    return [respelled(json.loads(json.dumps(one)), chance) for one in messages]


def place(talk: Talk, sent: Messages, chance: random.Random) -> tuple[int | None, int]:
    found = talk.align(spelled(sent, chance))
    return found.parent_key, found.first_new


@given(talks(least=0), CHANCE)
def test_a_full_history_continues_at_the_head(talk: Talk, chance: random.Random) -> None:
    assert place(talk, [*talk.messages, NEW], chance) == (talk.head, len(talk.messages))


@given(TALKS, CHANCE, st.data())
def test_a_suffix_continues_at_the_head(
    talk: Talk, chance: random.Random, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(1, len(talk.messages) - 1))
    kept = talk.messages[begin:]
    assert place(talk, [*kept, NEW], chance) == (talk.head, len(kept))


@given(TALKS, CHANCE)
def test_a_summary_instead_of_the_head_is_not_stored(talk: Talk, chance: random.Random) -> None:
    kept = [message("The story so far: we talked."), *talk.messages[-4:]]
    assert place(talk, [*kept, NEW], chance) == (talk.head, len(kept))


@given(talks(least=0), CHANCE)
def test_a_single_new_message_continues_at_the_head(talk: Talk, chance: random.Random) -> None:
    assert place(talk, [NEW], chance) == (talk.head, 0)


@given(TALKS, CHANCE)
def test_tool_calls_may_be_left_out(talk: Talk, chance: random.Random) -> None:
    kept = [one for one in talk.messages if one["role"] != "tool" and not one.get("tool_calls")]
    assert place(talk, [*kept, NEW], chance) == (talk.head, len(kept))


def user_turns(talk: Talk) -> list[int]:
    return [n for n, one in enumerate(talk.messages) if one["role"] == "user"]


@given(talks(least=2), CHANCE, st.data())
def test_an_edited_message_branches_before_it(
    talk: Talk, chance: random.Random, data: st.DataObject
) -> None:
    edited = data.draw(st.sampled_from(user_turns(talk)[1:]))
    assert place(talk, [*talk.messages[:edited], NEW], chance) == (edited, edited)


@given(TALKS, CHANCE, st.data())
def test_a_repeated_question_is_not_stored_again(
    talk: Talk, chance: random.Random, data: st.DataObject
) -> None:
    asked = data.draw(st.sampled_from(user_turns(talk)))
    sent = talk.messages[: asked + 1]
    # A single message of a longer conversation may as well be all that is new.
    assume(len(sent) > 1 or len(user_turns(talk)) == 1)
    assert place(talk, sent, chance) == (asked + 1, asked + 1)


@given(TALKS, CHANCE)
def test_an_older_branch_continues_where_it_ended(talk: Talk, chance: random.Random) -> None:
    sent = [*talk.messages[: talk.fork], *talk.branch]
    end = len(talk.messages) + len(talk.branch) if talk.branch else talk.fork
    assert place(talk, [*sent, NEW], chance) == (end, len(sent))


@given(TALKS, CHANCE)
def test_a_question_without_an_answer_is_the_same_turn(talk: Talk, chance: random.Random) -> None:
    asked = Talk([*talk.messages, NEW])
    for sent in ([NEW], [*talk.messages[-1:], NEW], asked.messages):
        assert place(asked, sent, chance) == (asked.head, len(sent))


VOCABULARY = [message(text, role) for text in ("hi", "ok", "no") for role in ("user", "assistant")]


@given(st.lists(st.sampled_from(VOCABULARY)), st.lists(st.sampled_from(VOCABULARY), min_size=1))
def test_whatever_comes_is_found_as_it_was_said_or_new(path: Messages, sent: Messages) -> None:
    talk = Talk(path)
    found = talk.align(sent)
    assert 0 <= found.first_new <= len(sent)
    end, matched = found.parent_key or 0, found.matched
    assert found.first_new or end == (talk.head or 0)
    assert path[end - matched : end] == sent[found.first_new - matched : found.first_new]


TALK = Talk([*exchange(1), *exchange(2), *exchange(3)])


@pytest.mark.parametrize("is_retry", [True, False])
def test_a_retry_of_the_last_question_alone_is_the_same_turn(*, is_retry: bool) -> None:
    fresh = [replace(node, fresh=True) for node in TALK.tree]
    found = align(fresh, TALK.head, as_sent([message("question 3")]), is_retry=is_retry)
    assert (found.parent_key, found.first_new) == ((5, 1) if is_retry else (6, 0))


@pytest.mark.parametrize(
    ("text", "item", "expected"),
    [
        ("question 2", "item_3", (3, 1)),
        ("question 2", "another", (6, 0)),
        ("question 3", "item_3", (6, 0)),
    ],
)
def test_an_id_is_one_turn(text: str, item: str, expected: tuple[int, int]) -> None:
    found = TALK.align([message(text, id=item)])
    assert (found.parent_key, found.first_new) == expected


def test_a_word_that_was_said_before_is_no_place() -> None:
    talk = Talk([*exchange(1), message("yes"), message("fine", "assistant"), *exchange(2)])
    assert talk.align([message("yes")]) == Alignment(talk.head, 0)
    assert talk.align([message("yes"), message("odd", "assistant"), NEW]) == Alignment(talk.head, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (message("a"), message("b")),
        (message("a"), message("a", "assistant")),
        (message("a", name="ann"), message("a", name="bob")),
        (calls("c1"), calls("c2")),
        (calls("c1"), calls("c1", arguments='{"city":"Rome"}')),
        (message("4", "tool", tool_call_id="c1"), message("4", "tool", tool_call_id="c2")),
        (
            message([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]),
            message([{"type": "image_url", "image_url": {"url": "https://x.test/b.png"}}]),
        ),
    ],
)
def test_different_messages_do_not_say_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert message_hash(one) != message_hash(other)
