"""Which conversation and which turn a request continues."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.chatting import (
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import Upstream, says


def test_history_identifies_conversation_of_user(chat: RunningGateway) -> None:
    ann, messages = {"x-user-id": new_id()}, user("My dog is called Bo.")
    first = chat.send(messages, headers=ann).headers["x-conversation-id"]
    messages += assistant("You said: My dog is called Bo.") + user("And my cat?")
    assert chat.send(messages, headers=ann).headers["x-conversation-id"] == first
    assert chat.turn_count(first) == 4
    third = chat.send(user("Something else"), headers=ann).headers["x-conversation-id"]
    assert third != first


def test_history_is_not_compared_with_other_users(chat: RunningGateway) -> None:
    messages = user("My dog is called Bo.")
    first = chat.send(messages, headers={"x-user-id": new_id()}).headers["x-conversation-id"]
    messages += assistant("You said: My dog is called Bo.") + user("And my cat?")
    second = chat.send(messages, headers={"x-user-id": new_id()}).headers["x-conversation-id"]
    assert first != second
    assert (chat.turn_count(first), chat.turn_count(second)) == (2, 4)


def test_conversation_of_another_user_returns_404(chat: RunningGateway) -> None:
    conversation, ann = new_id(), new_id()
    chat.send(
        "hello", headers=in_conversation(conversation, **{"x-user-id": ann})
    ).raise_for_status()
    answer = chat.send("hello", headers=in_conversation(conversation, **{"x-user-id": "bob"}))
    assert (answer.status_code, chat.turn_count(conversation)) == (404, 2)
    assert chat.send("hi", headers=in_conversation(conversation)).status_code == 200


def test_concurrent_requests_store_each_message_once(chat: RunningGateway) -> None:
    conversation = new_id()
    chat.send("hello", headers=in_conversation(conversation)).raise_for_status()
    with ThreadPoolExecutor(8) as tabs:
        answers = list(
            tabs.map(
                lambda n: (
                    chat.send(f"message {n}", headers=in_conversation(conversation)).status_code
                ),
                range(16),
            )
        )
    assert answers == [200] * 16
    texts = chat.all_texts(conversation)
    assert sorted(text for text in texts if text.startswith("message")) == sorted(
        f"message {n}" for n in range(16)
    )
    assert len(texts) == len(set(texts)) == 34


def test_outdated_history_begins_a_branch(chat: RunningGateway) -> None:
    conversation, messages = new_id(), user("hello")
    chat.send(messages, headers=in_conversation(conversation)).raise_for_status()
    messages += assistant("You said: hello")
    for text in ("tab one", "tab two"):
        chat.send(
            [*messages, *user(text)], headers=in_conversation(conversation)
        ).raise_for_status()
    assert chat.texts(conversation) == ["hello", "You said: hello", "tab two", "You said: tab two"]
    assert "tab one" not in str(chat.upstream.last.messages)
    assert chat.turn_count(conversation) == 6


def test_repeated_question_stores_sibling_of_answer(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation, messages = new_id(), user("hello") + assistant("You said: hello") + user("why?")
    chat.send(messages[:1], headers=in_conversation(conversation)).raise_for_status()
    for text in ("because", "perhaps"):
        upstream.then(says(text))
        chat.send(messages, headers=in_conversation(conversation)).raise_for_status()
    assert chat.texts(conversation) == ["hello", "You said: hello", "why?", "perhaps"]
    assert "because" not in str(upstream.last.messages)
    assert chat.all_texts(conversation)[-2:] == ["because", "perhaps"]


@pytest.mark.parametrize(("count", "turns"), [("0", 6), ("1", 5)])
def test_retry_of_last_question_is_not_stored_again(
    chat: RunningGateway, count: str, turns: int
) -> None:
    conversation = new_id()
    for text, retries in (("hello", "0"), ("yes", "0"), ("yes", count)):
        headers = in_conversation(conversation, **{"x-stainless-retry-count": retries})
        chat.send(text, headers=headers).raise_for_status()
    assert chat.turn_count(conversation) == turns


def test_message_id_identifies_turn_and_is_not_reused_for_other_content(
    chat: RunningGateway,
) -> None:
    conversation, item = new_id(), new_id()
    for _ in range(2):
        chat.send([{**user("hello")[0], "id": item}], headers=in_conversation(conversation))
    assert chat.texts(conversation) == ["hello", "You said: hello"]
    answer = chat.send([{**user("bye")[0], "id": item}], headers=in_conversation(conversation))
    assert (answer.status_code, answer.headers["x-memory-error"]) == (200, "id_exists")
    assert chat.upstream.last.messages == user("bye")
    assert "bye" not in chat.all_texts(conversation)


@pytest.mark.parametrize("item", [7, [1], {"a": "b"}, "not an id"])
def test_message_id_of_another_form_is_ignored(chat: RunningGateway, item: Any) -> None:
    conversation = new_id()
    for _ in range(2):
        messages = [{**user("hello")[0], "id": item}]
        chat.send(messages, headers=in_conversation(conversation)).raise_for_status()
    assert chat.all_texts(conversation) == ["hello", *["You said: hello"] * 2]
