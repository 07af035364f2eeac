"""Sessions and parallel requests: several histories of clients in one memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    gateway,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import Upstream, but, calls, fails, says

HELLO = assistant("Hello! How can I help?")
EXAMPLES = user("2+2") + assistant("4") + user("1+1") + assistant("2")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("threads"), light=True) as running:
        yield running


def say(chat: RunningGateway, headers: dict[str, str], messages: Messages, text: str) -> Messages:
    """Send a message after others; return them all with the answer."""
    sent = [*messages, *user(text)]
    answer = chat.send(sent, headers=headers).raise_for_status().json()["choices"][0]["message"]
    return [*sent, {"role": "assistant", "content": answer["content"]}]


def conversation_of(chat: RunningGateway, headers: dict[str, str], messages: Messages) -> str:
    """Return the conversation of a request."""
    return str(chat.send(messages, headers=headers).raise_for_status().headers["x-conversation-id"])


@pytest.mark.parametrize("prefix", [HELLO, EXAMPLES, user("hi") + assistant("hi")])
def test_sessions_with_the_same_beginning_stay_active(
    chat: RunningGateway, prefix: Messages
) -> None:
    headers = in_conversation(new_id())
    conversation = headers["x-conversation-id"]
    first = say(chat, headers, say(chat, headers, prefix, "My dog is Bo."), "He is old.")
    second = say(chat, headers, say(chat, headers, prefix, "My cat is Mia."), "She is young.")
    say(chat, headers, first, "And he is deaf.")
    say(chat, headers, second, "And she is loud.")
    said = ["My dog is Bo.", "He is old.", "My cat is Mia.", "She is young."]
    said += ["And he is deaf.", "And she is loud."]
    expected = [message["content"] for message in prefix]
    expected += [line for text in said for line in (text, f"You said: {text}")]
    assert chat.texts(conversation) == chat.all_texts(conversation) == expected


def test_edit_after_fixed_prefix_leaves_the_branch(chat: RunningGateway) -> None:
    headers = in_conversation(new_id())
    first = say(chat, headers, HELLO, "My dog is Bo.")
    say(chat, headers, first, "He is old.")
    say(chat, headers, first, "He is young.")
    texts = chat.texts(headers["x-conversation-id"])
    assert texts[-2:] == ["He is young.", "You said: He is young."]
    assert "He is old." not in texts


def test_greeting_of_another_session_begins_another_conversation(
    chat: RunningGateway, upstream: Upstream
) -> None:
    ann = {"x-user-id": new_id()}
    dog, cat = [*HELLO, *user("My dog is Bo.")], [*HELLO, *user("My cat is Mia.")]
    upstream.then(says("Noted."), says("Noted."))
    first, second = (conversation_of(chat, ann, sent) for sent in (dog, cat))
    assert first != second
    for conversation, sent in ((first, dog), (second, cat)):
        said = [*sent, *assistant("Noted."), *user("So?")]
        assert conversation_of(chat, ann, said) == conversation
        assert chat.turn_count(conversation) == 5


def test_chats_that_begin_alike_do_not_merge(chat: RunningGateway, upstream: Upstream) -> None:
    ann, hi = {"x-user-id": new_id()}, user("hi")
    upstream.then(says("hi"), says("hi"))
    first, second = (conversation_of(chat, ann, hi) for _ in range(2))
    assert first != second
    begun = [*hi, *assistant("hi")]
    used = {conversation_of(chat, ann, [*begun, *user(text)]) for text in ("My dog?", "My cat?")}
    assert used == {first, second}
    # The history branches off from both: it belongs to neither.
    assert conversation_of(chat, ann, [*begun, *user("My bird?")]) not in used
    assert [chat.turn_count(conversation) for conversation in (first, second)] == [4, 4]


def test_oldest_of_many_conversations_is_continued(chat: RunningGateway) -> None:
    ann = {"x-user-id": new_id()}
    first = conversation_of(chat, ann, user("The tale number 0"))
    for number in range(1, 25):
        conversation_of(chat, ann, user(f"The tale number {number}"))
    messages = user("The tale number 0") + assistant("You said: The tale number 0") + user("Go on")
    assert conversation_of(chat, ann, messages) == first
    assert chat.turn_count(first) == 4


def test_end_of_old_history_is_not_stored_again(chat: RunningGateway) -> None:
    headers = in_conversation(new_id())
    path = [
        message
        for number in range(130)
        for message in (*user(f"question {number}"), *assistant(f"answer {number}"))
    ]
    chat.send([*path, *user("The last one")], headers=headers).raise_for_status()
    count = chat.turn_count(headers["x-conversation-id"])
    chat.send([*path[:4], *user("Something else")], headers=headers).raise_for_status()
    assert chat.turn_count(headers["x-conversation-id"]) == count + 2


def test_failed_first_request_is_stored_once(chat: RunningGateway, upstream: Upstream) -> None:
    ann, messages = {"x-user-id": new_id()}, [*HELLO, *user("My dog is Bo.")]
    upstream.then(fails(500), fails(503))
    failed = [chat.send(messages, headers=ann) for _ in range(2)]
    assert [answer.status_code for answer in failed] == [500, 503]
    conversation = conversation_of(chat, ann, messages)
    assert {answer.headers["x-conversation-id"] for answer in failed} == {conversation}
    assert chat.turn_count(conversation) == 3


@pytest.mark.parametrize("count", ["0", "1"])
def test_retry_of_broken_answer_is_the_same_turn(
    chat: RunningGateway, upstream: Upstream, count: str
) -> None:
    headers = in_conversation(new_id(), **{"x-stainless-retry-count": count})
    chat.send("hello", headers=headers).raise_for_status()
    upstream.then(but(says("one two three four"), cut_after=3, chunk_chars=4))
    chat.send("yes", headers=headers, stream=True)
    chat.send("yes", headers=headers).raise_for_status()
    conversation = headers["x-conversation-id"]
    assert chat.texts(conversation) == ["hello", "You said: hello", "yes", "You said: yes"]
    assert chat.all_texts(conversation).count("yes") == 1


def test_answer_without_its_thoughts_is_the_same_message(
    chat: RunningGateway, upstream: Upstream
) -> None:
    headers = in_conversation(new_id())
    upstream.then(says("<think>A dog.</think>\n\nNice."))
    chat.send("My dog is Bo.", headers=headers).raise_for_status()
    say(chat, headers, user("My dog is Bo.") + assistant("Nice."), "And then?")
    assert chat.turn_count(headers["x-conversation-id"]) == 4


HISTORY = user("hello") + assistant("You said: hello")


@pytest.mark.parametrize("history", [HISTORY, []], ids=["history", "message"])
def test_parallel_requests_store_whole_exchanges(tmp_path: Any, history: Messages) -> None:
    with gateway(tmp_path, light=True) as chat:
        headers = in_conversation(new_id())
        chat.send("hello", headers=headers).raise_for_status()
        chat.upstream.then(but(says("slow answer"), stall_after=2))
        body = {"model": "m", "messages": [*history, *user("slow question")], "stream": True}
        url = "/v1/chat/completions"
        with chat.http.stream("POST", url, json=body, headers=headers) as slow:
            chunks = slow.iter_raw()
            next(chunks)
            quick = say(chat, headers, history, "quick question")
            assert "slow" not in str(chat.upstream.last.messages)
            say(chat, headers, quick if history else [], "second question")
            assert "slow" not in str(chat.upstream.last.messages)
            chat.upstream.release()
            list(chunks)
        conversation = headers["x-conversation-id"]
        expected = ["hello", "You said: hello", "quick question", "You said: quick question"]
        expected += ["second question", "You said: second question"]
        expected += ["slow question", "slow answer"]
        assert chat.texts(conversation) == chat.all_texts(conversation) == expected
        if history:
            slow_history = [*history, *user("slow question"), *assistant("slow answer")]
            say(chat, headers, slow_history, "third question")
            say(chat, headers, quick, "another second question")
            texts = chat.all_texts(conversation)
            assert len(texts) == len(set(texts)) == 12


def test_request_between_a_tool_call_and_its_result(
    chat: RunningGateway, upstream: Upstream
) -> None:
    headers = in_conversation(new_id())
    conversation = headers["x-conversation-id"]
    chat.send("hello", headers=headers).raise_for_status()
    upstream.then(calls(("look_up", {"city": "Oslo"})))
    question = [*HISTORY, *user("How warm is it in Oslo?")]
    answer = chat.send(question, headers=headers).raise_for_status()
    call = answer.json()["choices"][0]["message"]
    say(chat, headers, HISTORY, "Another question")
    assert "Oslo" not in str(upstream.last.messages)
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "4 degrees"}
    upstream.then(says("It is cold."))
    chat.send([*question, call, result], headers=headers).raise_for_status()
    assert [message["role"] for message in upstream.last.messages][-3:] == [
        *("user", "assistant", "tool"),
    ]
    texts = chat.all_texts(conversation)
    assert len(texts) == len(chat.items(conversation)) == 8
    assert texts[2:5] == [
        *("Another question", "You said: Another question", "How warm is it in Oslo?"),
    ]


def test_read_only_request_does_not_see_pending_question(tmp_path: Any) -> None:
    with gateway(tmp_path, light=True) as chat:
        headers = in_conversation(new_id())
        chat.send("hello", headers=headers).raise_for_status()
        chat.upstream.then(but(says("slow answer"), stall_after=2))
        body = {"model": "m", "messages": user("slow question"), "stream": True}
        url = "/v1/chat/completions"
        with chat.http.stream("POST", url, json=body, headers=headers) as slow:
            chunks = slow.iter_raw()
            next(chunks)
            read = {**headers, "x-memory": "read"}
            chat.send("quick question", headers=read).raise_for_status()
            assert "slow" not in str(chat.upstream.last.messages)
            chat.upstream.release()
            list(chunks)
