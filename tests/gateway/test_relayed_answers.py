"""How answers, failures and interrupted streams of the upstream are relayed and stored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chatting import (
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.storing import eventually
from tests.support.upstream import Upstream, but, calls, echo, fails, raw, says


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_response_body_is_returned_byte_for_byte(
    chat: RunningGateway, upstream: Upstream, content_type: str
) -> None:
    content = b'{"odd":  1,"choices": [{"message": {"content": "caf\\u00e9"}}], "new": null }\n'
    if content_type == "text/event-stream":
        content = b": hm\r\n\r\ndata:  " + content + b"\r\n\r\nevent: x\ndata: [DONE]\n\n"
    upstream.then(raw(content, content_type=content_type))
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert answer.content == content
    assert answer.headers["content-type"].startswith(content_type)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says("plain"), {"text": "plain"}),
        (says({"role": "assistant", "content": None, "refusal": "No."}), {"text": "No."}),
        (
            says(
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "look_up", "arguments": '{"city": "Oslo"}'},
                }
            ),
            {"text": 'look_up\n{"city": "Oslo"}'},
        ),
        (
            calls(("look_up", {"city": "Oslo"}), ("look_up", {"city": "Rome"}), content="Hm"),
            {"text": 'Hm\nlook_up\n{"city": "Oslo"}\nlook_up\n{"city": "Rome"}'},
        ),
    ],
)
def test_answer_is_stored_from_body_or_stream(
    chat: RunningGateway,
    upstream: Upstream,
    behaviour: Any,
    expected: dict[str, str],
    *,
    stream: bool,
) -> None:
    conversation = new_id()
    upstream.then(but(behaviour, chunk_chars=3))
    chat.send("hello", headers=in_conversation(conversation), stream=stream).raise_for_status()
    assert chat.all_texts(conversation) == ["hello", expected["text"]]


def test_further_choices_are_stored_as_siblings(chat: RunningGateway, upstream: Upstream) -> None:
    conversation = new_id()
    upstream.then(says("first", "second", "third"))
    chat.send("hello", headers=in_conversation(conversation), n=3).raise_for_status()
    assert chat.texts(conversation) == ["hello", "first"]
    with chat.log.read() as snapshot:
        stored = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, conversation)
        question, *answers = snapshot.turns.all(stored.key if stored else 0)
    assert sorted(turn.text for turn in answers) == ["first", "second", "third"]
    assert {turn.parent_key for turn in answers} == {question.key}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503])
def test_upstream_error_is_relayed_and_user_turn_stored_once(
    chat: RunningGateway, upstream: Upstream, status: int
) -> None:
    conversation = new_id()
    upstream.then(*[fails(status, "no way", "odd", retry_after="7")] * 2)
    for _ in range(2):
        answer = chat.send("hello", headers=in_conversation(conversation), stream=True)
        assert answer.status_code == status
        assert answer.json()["error"]["message"] == "no way"
        assert answer.headers["retry-after"] == "7"
    assert chat.texts(conversation) == ["hello"]
    chat.send("hello", headers=in_conversation(conversation)).raise_for_status()
    assert chat.texts(conversation) == ["hello", "You said: hello"]


def test_connection_lost_before_answer_returns_502(
    chat: RunningGateway, upstream: Upstream
) -> None:
    upstream.then(but(echo, cut_after=0))
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broke_off")


def test_connection_lost_in_stream_stores_incomplete_answer(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation = new_id()
    upstream.then(but(says("one two three four"), cut_after=3, chunk_chars=4))
    answer = chat.send("hello", headers=in_conversation(conversation), stream=True)
    assert answer.status_code == 200
    assert '"code":"upstream_broke_off"' in answer.text
    assert chat.texts(conversation) == ["hello", "one two "]
    assert [item["status"] for item in chat.items(conversation)] == ["completed", "incomplete"]


def test_caller_disconnect_stores_incomplete_answer(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation = new_id()
    upstream.then(but(says("one two three four"), stall_after=3, chunk_chars=4))
    disconnects, received = upstream.disconnects, b""
    body = {"model": "m", "stream": True, "messages": user("hello")}
    headers = in_conversation(conversation)
    with chat.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        chunks = answer.iter_raw()
        # Chunks are passed on before the answer is complete.
        while b"two" not in received:
            received += next(chunks)
    chat.wait_for(conversation, 2)
    assert chat.texts(conversation) == ["hello", "one two "]
    assert chat.items(conversation)[1]["status"] == "incomplete"
    eventually(lambda: upstream.disconnects == disconnects + 1)


def test_stream_ends_after_its_answer_is_stored(chat: RunningGateway) -> None:
    conversation = new_id()
    messages: Any = []
    for number in range(20):
        messages += user(f"question {number}")
        stream = chat.openai.chat.completions.create(
            model="m", messages=messages, stream=True, extra_headers=in_conversation(conversation)
        )
        messages += assistant("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    assert chat.turn_count(conversation) == len(messages) == 40
    assert chat.texts(conversation) == [message["content"] for message in messages]


def test_characters_that_cannot_be_stored_are_replaced(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation = new_id()
    odd = b'{"choices": [{"message": {"content": "nul \\u0000 half \\ud83d"}}]}'
    upstream.then(raw(odd))
    assert chat.send("hello", headers=in_conversation(conversation)).content == odd
    assert chat.texts(conversation)[1] == "nul \ufffd half \ufffd"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"choices": 7}', b'{"choices": [{"message": 3}, 4]}', b"\xff" * 9],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_malformed_answer_is_relayed_and_not_stored(
    chat: RunningGateway, upstream: Upstream, content: bytes, content_type: str
) -> None:
    conversation = new_id()
    if content_type == "text/event-stream":
        content = b"data: " + content + b"\n\n"
    upstream.then(raw(content, content_type=content_type))
    answer = chat.send("hello", headers=in_conversation(conversation))
    assert (answer.status_code, answer.content) == (200, content)
    assert chat.texts(conversation) == ["hello"]
