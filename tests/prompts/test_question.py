"""The question of a prompt: the text to search for, and the identity of the user message."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.core.models import Conversation, PromptState, Turn
from memory_service.prompts.location import PromptLocation
from memory_service.prompts.question import (
    UserMessageIdentity,
    query_text,
    user_message_identity,
)
from memory_service.prompts.request import PromptRequest
from tests.support.factories import chat_calls, chat_output, make_turn, message

TURNS = [make_turn(message(text), key=key) for key, text in enumerate(["No.", "One.", "Two."], 1)]
QUESTION = "which locker at the gym is mine?"


@pytest.mark.parametrize(
    ("text", "searched"),
    [(QUESTION, (QUESTION, "")), ("and then?", ("and then?", "One.\nTwo.")), ("", ("", ""))],
)
def test_short_user_message_is_searched_with_last_two_turns(
    text: str, searched: tuple[str, str]
) -> None:
    assert query_text(message(text), TURNS) == searched


def test_question_of_tool_loop_is_last_user_turn() -> None:
    loop = [*TURNS, make_turn(chat_calls("a"), key=4)]
    assert query_text(None, loop) == ("Two.", "No.\nOne.")
    assert query_text(None, loop[3:]) == ("", "")


def location(turns: list[Turn], head_key: int | None) -> PromptLocation:
    conversation = Conversation(
        key=1,
        id="c",
        user_key=None,
        user=None,
        title=None,
        metadata={},
        created_at=0,
        head_key=head_key,
        next_seq=1 + len(turns),
        language=None,
        passages=0,
        terms=0,
        erasures=0,
        path_changes=0,
    )
    return PromptLocation(1, conversation, "conversation", [], turns)


def identity(turns: list[Turn], *new: dict[str, Any], **fields: Any) -> UserMessageIdentity | None:
    head_key = turns[-1].key if turns else None
    return user_message_identity(location(turns, head_key), PromptRequest(new, **fields), top_k=5)


def test_identity_is_same_for_new_and_stored_message() -> None:
    user_message = make_turn(message(QUESTION), key=4)
    as_new = identity(TURNS, message(QUESTION))
    assert as_new == identity(TURNS, message(QUESTION), stored_input=[user_message])
    assert as_new == identity(
        [*TURNS, user_message, make_turn(chat_calls("a"), key=5)], chat_output("a")
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [("another question", {}), (QUESTION, {"token_budget": 9}), (QUESTION, {"recent_turns": 9})],
)
def test_identity_differs_by_message_and_limits(text: str, fields: dict[str, Any]) -> None:
    assert identity(TURNS, message(QUESTION)) != identity(TURNS, message(text), **fields)


def test_no_identity_without_user_message() -> None:
    assert identity([make_turn(chat_calls("a"))], chat_output("a")) is None


def test_identity_is_compared_with_state_of_last_prompt() -> None:
    user_message = UserMessageIdentity(3, b"digest")
    assert user_message.is_of(PromptState(input_parent_key=3, input_hash=b"digest"))
    assert not user_message.is_of(PromptState(input_parent_key=4, input_hash=b"digest"))
    assert not UserMessageIdentity(None, b"digest").is_of(PromptState())
