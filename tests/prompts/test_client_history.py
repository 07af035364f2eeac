"""The client's messages are found among the turns of a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.items.message_hash import message_hash
from memory_service.prompts.client_history import ClientHistory
from tests.support.factories import chat_calls, chat_output, make_path, message

Items = list[dict[str, Any]]


def exchange(name: str) -> Items:
    return [message(f"question {name}"), message(f"answer {name}", "assistant")]


def placed(stored: Items, sent: Items) -> dict[int, int]:
    """Return the position of each stored item among the sent messages."""
    path = make_path(stored)
    history = ClientHistory(sent, message_hash)
    positions = {key: entry.position for key, entry in history.of_turns(path).items()}
    return {
        number: positions[turn.key] for number, turn in enumerate(path) if turn.key in positions
    }


def preamble(stored: Items, sent: Items) -> Items:
    path = make_path(stored)
    history = ClientHistory(sent, message_hash)
    return [dict(entry) for entry in history.preamble(path, history.of_turns(path))]


NEW = [message("and now?")]
TOOLS = [chat_calls("1"), chat_output("1")]
SUMMARY = [message("Summary: a."), message("Noted.", "assistant")]
PLACES: dict[str, tuple[Items, Items, dict[int, int]]] = {
    "all": ([*exchange("a"), *NEW], [*exchange("a"), *NEW], {0: 0, 1: 1, 2: 2}),
    "end": ([*exchange("a"), *exchange("b"), *NEW], [*exchange("b"), *NEW], {2: 0, 3: 1, 4: 2}),
    "without tools": (
        [*exchange("a")[:1], *TOOLS, *exchange("a")[1:], *NEW],
        [*exchange("a"), *NEW],
        {0: 0, 3: 1, 4: 2},
    ),
    "another session between": (
        [*exchange("a"), *exchange("other"), *NEW],
        [*exchange("a"), *NEW],
        {0: 0, 1: 1, 4: 2},
    ),
    "repeats an older message": (
        [*exchange("a"), *exchange("b"), *exchange("a")[:1]],
        exchange("a")[:1],
        {4: 0},
    ),
    "repeats an older message after the end": (
        [*exchange("a"), *exchange("b"), *exchange("a")[:1]],
        [*exchange("b")[1:], *exchange("a")[:1]],
        {3: 0, 4: 1},
    ),
    "other form": (
        [message([{"type": "text", "text": "hello "}]), *NEW],
        [message("hello"), *NEW],
        {0: 0, 1: 1},
    ),
    "changed in the middle": (
        [*exchange("a"), *exchange("b"), *NEW],
        [*exchange("a"), message("changed"), *exchange("b")[1:], *NEW],
        {0: 0, 1: 1, 2: 2, 3: 3, 4: 4},
    ),
    "shortened tool result": (
        [message(), *TOOLS, *exchange("a")[1:], *NEW],
        [message(), TOOLS[0], chat_output("1", "[old result]"), *exchange("a")[1:], *NEW],
        {0: 0, 1: 1, 2: 2, 3: 3, 4: 4},
    ),
    "other messages in the middle": (
        [*exchange("a"), *exchange("b"), *NEW],
        [*exchange("a"), *exchange("c"), message("d"), *NEW],
        {0: 0, 1: 1, 4: 5},
    ),
    "nothing": (exchange("a"), [], {}),
}


@pytest.mark.parametrize(("stored", "sent", "places"), PLACES.values(), ids=PLACES)
def test_messages_are_found(stored: Items, sent: Items, places: dict[int, int]) -> None:
    assert placed(stored, sent) == places


PREAMBLES: dict[str, tuple[Items, Items, Items]] = {
    "summary": (
        [*exchange("a"), *exchange("b"), *NEW],
        [*SUMMARY, *exchange("b"), *NEW],
        SUMMARY,
    ),
    "examples of a new session": ([*exchange("other"), *NEW], [*SUMMARY, *NEW], SUMMARY),
    "longer history": ([*exchange("b"), *NEW], [*exchange("a"), *exchange("b"), *NEW], []),
    "longer history without tools": (
        [*TOOLS, *exchange("b"), *NEW],
        [*exchange("a"), *exchange("b"), *NEW],
        [],
    ),
    "changed in the middle": (
        [*exchange("a"), *exchange("b"), *NEW],
        [*exchange("a"), message("changed"), *exchange("b")[1:], *NEW],
        [],
    ),
    "new message only": ([*exchange("a"), *NEW], NEW, []),
}


@pytest.mark.parametrize(("stored", "sent", "expected"), PREAMBLES.values(), ids=PREAMBLES)
def test_messages_before_stored_ones_are_preamble(
    stored: Items, sent: Items, expected: Items
) -> None:
    assert preamble(stored, sent) == expected
