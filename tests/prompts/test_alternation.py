"""Prompts have roles that strict chat templates accept, and the client's messages as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import Turn
from memory_service.items.chat_messages import (
    ClientMessage,
    Message,
    PlacedMessage,
    call_ids,
    input_messages,
    message_groups,
)
from memory_service.prompts.alternation import OPENING, alternating, lacks_opening
from tests.support.factories import chat_calls, chat_output, function_call, make_path, message
from tests.support.upstream import template_problem


def strict_problem(messages: Sequence[Message]) -> str | None:
    """Return why the strictest chat templates refuse messages, None if they do not."""
    roles = [entry["role"] for entry in messages if entry["role"] != "tool"]
    if roles[:1] == ["assistant"]:
        return "A conversation must begin with the user."
    calls = [bool(entry.get("tool_calls")) for entry in messages if entry["role"] != "tool"]
    repeated = [
        pair[0] == pair[1] == "assistant" and not is_call
        for pair, is_call in zip(pairwise(roles), calls, strict=False)
    ]
    if any(repeated):
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    return template_problem(messages)


def prompt_of(path: Sequence[Turn], sent: Mapping[int, ClientMessage]) -> list[Message]:
    """Return a prompt of stored turns whose last one is the input."""
    input_turns = path[-1:]
    new = input_messages(input_turns, sent)
    placed = [
        entry for group in message_groups(path[:-1], call_ids(new), sent) for entry in group.placed
    ]
    position = sent[path[-1].key].position if path[-1].key in sent else None
    joined = alternating([*placed, *(PlacedMessage(entry, position) for entry in new)])
    opening = [OPENING] if lacks_opening(joined) else []
    return [*opening, *(entry.message for entry in joined)]


@st.composite
def stored_histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return items in any order, with calls, late and missing results, names and systems."""
    items: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number in range(draw(st.integers(0, 12))):
        kinds = [
            "user",
            "anna",
            "assistant",
            "aborted",
            "system",
            "calls",
            "call",
            "orphan",
            "result",
        ]
        kind = draw(st.sampled_from(kinds))
        text, call = f"text {number}", f"call_{draw(st.integers(0, 3))}"
        if kind == "anna":
            items.append(message(text, name=draw(st.sampled_from(["anna", "bob"]))))
        elif kind == "aborted":
            items.append(message(text, "assistant", status="incomplete"))
        elif kind == "calls":
            items.append(chat_calls(call, f"{call}b", content=draw(st.none() | st.just(text))))
            waiting += [call, f"{call}b"]
        elif kind == "call":
            items.append(function_call(call))
            waiting.append(call)
        elif kind == "orphan":
            items.append(chat_output("gone"))
        elif kind == "result" and waiting:
            items.append(chat_output(waiting.pop(draw(st.integers(0, len(waiting) - 1)))))
        elif kind in ("user", "assistant", "system"):
            items.append(message(text, kind))
    has_result: bool = draw(st.booleans())
    last = chat_output(waiting[-1]) if waiting and has_result else message("and now?")
    return [*items, last]


@given(stored_histories())
def test_strict_template_accepts_any_stored_history(items: list[dict[str, Any]]) -> None:
    path = [turn for turn in make_path(items) if turn.role != "system"]
    last = {path[-1].key: ClientMessage(0, items[-1])}
    messages = prompt_of(path, last)
    assert strict_problem(messages) is None
    said = str(messages)
    assert all(
        item["content"] in said
        for item in items
        if item.get("role") in ("user", "assistant") and item["content"]
    )


@given(stored_histories())
def test_messages_that_client_sent_in_order_are_unchanged(items: list[dict[str, Any]]) -> None:
    plain = [item for item in items if item.get("role") in ("user", "assistant")]
    path = make_path([entry for entry in plain if "tool_calls" not in entry] or [message()])
    sent = {
        turn.key: ClientMessage(position, message(turn.text, turn.role, mark=position))
        for position, turn in enumerate(path)
    }
    assert prompt_of(path, sent) == [entry.message for entry in sent.values()]


JOINED: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "strings": ([message("a"), message("b")], [message("a\nb")]),
    "parts": (
        [message("a"), message([{"type": "text", "text": "b"}])],
        [message([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
    ),
    "one speaker": (
        [message("a", name="anna"), message("b", name="anna")],
        [message("a\nb", name="anna")],
    ),
    "two speakers": (
        [message("a", name="anna"), message("b", name="bob"), message("c")],
        [message("anna: a\nbob: b\nc")],
    ),
    "aborted answer": (
        [message(), message("a", "assistant", reasoning="x"), message("b", "assistant")],
        [message(), message("a\nb", "assistant", reasoning="x")],
    ),
    "late result": (
        [message(), chat_calls("1"), message("wait"), chat_output("1")],
        [message(), chat_calls("1"), chat_output("1"), message("wait")],
    ),
    "id used twice": (
        [message(), chat_calls("1", "1"), chat_output("1"), chat_output("1")],
        [message(), chat_calls("1"), chat_output("1")],
    ),
    "call without result": ([message("a"), chat_calls("1"), message("b")], [message("a\nb")]),
}


@pytest.mark.parametrize(("stored", "expected"), JOINED.values(), ids=JOINED)
def test_stored_messages_are_joined(
    stored: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    joined = alternating([PlacedMessage(entry) for entry in stored])
    assert [entry.message for entry in joined] == expected


def test_stored_message_is_joined_to_message_of_client() -> None:
    placed = [
        PlacedMessage(message("a")),
        PlacedMessage(message("b", mark=1), 0),
        PlacedMessage(message("c"), 1),
    ]
    joined = [entry.message for entry in alternating(placed)]
    assert joined == [message("a\nb", mark=1), message("c")]


@pytest.mark.parametrize(("position", "expected"), [(None, True), (3, True), (0, False)])
def test_opening_is_missing_unless_client_began_with_assistant(
    position: int | None, *, expected: bool
) -> None:
    assert lacks_opening([PlacedMessage(message("hi", "assistant"), position)]) is expected
