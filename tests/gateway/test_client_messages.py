"""Messages are forwarded as the client sent them; stored turns fill in what it left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory_service.gateway.answers import AnswerCollector
from memory_service.gateway.event_stream import EventStreamReader
from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import Upstream, calls, fails, raw, says

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "look_up", "arguments": "{}"},
    "extra_content": {"google": {"thought_signature": "sig=="}},
}
REASONED_CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "reasoning_content": "I must look.",
    "reasoning": "I must look.",
    "reasoning_details": [
        {"type": "reasoning.text", "text": "I must look.", "signature": "s==", "index": 0}
    ],
    "tool_calls": [CALL],
}
RESULT = {
    "role": "tool",
    "tool_call_id": "c1",
    "name": "look_up",
    "content": [{"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}}, IMAGE],
}
REASONED = {"role": "assistant", "content": "It is 8.", "reasoning_content": "So it is 8."}
LOOP: Messages = [*user("look"), REASONED_CALL, RESULT]


def body_of(message: dict[str, Any]) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


def stream_of(*deltas: dict[str, Any]) -> bytes:
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + (
        b"data: [DONE]\n\n"
    )


def test_resent_messages_are_forwarded_unchanged(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    upstream.then(raw(body_of(REASONED_CALL)), says(REASONED), says("Bye."))
    for messages in (LOOP[:1], LOOP, [*LOOP, REASONED, *user("thanks")]):
        chat.send(messages, headers=headers).raise_for_status()
        assert upstream.last.messages == messages


def test_stored_turns_fill_in_with_every_field(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    upstream.then(raw(body_of(REASONED_CALL)), says(REASONED), says("Bye."))
    for message in (LOOP[0], LOOP[2], *user("thanks")):
        chat.send([message], headers=headers).raise_for_status()
    assert upstream.last.messages == [*LOOP, REASONED, *user("thanks")]


def test_fields_of_streamed_answer_are_stored(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    details = REASONED_CALL["reasoning_details"][0]
    stream = stream_of(
        {"role": "assistant", "reasoning_content": "I must", "reasoning": "I must"},
        {"reasoning_details": [{**details, "text": "I must", "signature": None}]},
        {"reasoning_content": " look.", "reasoning": " look."},
        {"reasoning_details": [{**details, "text": " look.", "signature": None}]},
        {"reasoning_details": [{k: v for k, v in details.items() if k != "text"}]},
        {"tool_calls": [{"index": 0, **CALL, "function": {"name": "look_up", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
    )
    upstream.then(raw(stream, content_type="text/event-stream"))
    chat.send(LOOP[:1], headers=headers, stream=True).raise_for_status()
    chat.send(LOOP[2:], headers=headers).raise_for_status()
    assert upstream.last.messages == LOOP


@pytest.mark.parametrize("stream", [True, False])
def test_upstream_that_checks_signatures_takes_stored_turns(
    chat: RunningGateway, upstream: Upstream, *, stream: bool
) -> None:
    headers = in_conversation(new_id())
    upstream.signs = upstream.strings_only = True
    upstream.then(calls(("look_up", {"city": "Oslo"}), ("look_up", {"city": "Rome"})))
    chat.send("compare Oslo and Rome", headers=headers, stream=stream).raise_for_status()
    made = json.loads(chat.all_turns(headers["x-conversation-id"])[1].raw)["tool_calls"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "4"} for call in made]
    for messages in (results, user("Is Rome warm?"), user("And Oslo, which I compared?")):
        chat.send(messages, headers=headers, stream=stream).raise_for_status()
    upstream.signs = upstream.strings_only = False
    assert len(upstream.requests) == 4


def test_reasoning_is_not_searchable(chat: RunningGateway, upstream: Upstream) -> None:
    conversation = new_id()
    thinking = {"type": "thinking", "thinking": "walrus", "text": "walrus"}
    parts = {"role": "assistant", "content": [thinking, {"type": "text", "text": "It is red."}]}
    upstream.then(raw(body_of({**REASONED, "reasoning": "walrus"})), raw(body_of(parts)))
    for text in ("one", "two"):
        chat.send(text, headers=in_conversation(conversation)).raise_for_status()
    assert chat.all_texts(conversation) == ["one", "It is 8.", "two", "It is red."]


@pytest.mark.parametrize("stream", [True, False])
def test_transcript_of_spoken_answer_is_stored(
    chat: RunningGateway, upstream: Upstream, *, stream: bool
) -> None:
    conversation = new_id()
    deltas: Messages = [
        {"role": "assistant", "audio": {"id": "audio_1", "transcript": "The locker"}},
        {"audio": {"data": "AAAA", "transcript": " is 8314."}},
        {"audio": {"expires_at": 1_700_000_000}},
    ]
    audio = {"id": "audio_1", "data": "AAAA", "transcript": "The locker is 8314."}
    if stream:
        upstream.then(raw(stream_of(*deltas), content_type="text/event-stream"))
    else:
        upstream.then(raw(body_of({"role": "assistant", "content": None, "audio": audio})))
    chat.send("Which locker?", headers=in_conversation(conversation), stream=stream)
    assert chat.all_texts(conversation) == ["Which locker?", "The locker is 8314."]
    assert "AAAA" not in chat.all_turns(conversation)[1].raw
    chat.send("Thanks.", headers=in_conversation(conversation)).raise_for_status()
    assert upstream.last.messages[1] == assistant("The locker is 8314.")[0]
    spoken = {"role": "assistant", "audio": {"id": "audio_1"}}
    resent: Messages = [*user("Which locker?"), spoken, *user("Again?")]
    chat.send(resent, headers=in_conversation(conversation)).raise_for_status()
    assert upstream.last.messages[1] == spoken


def test_annotations_are_stored_and_not_sent_again(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation = new_id()
    answer = {**REASONED, "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]}
    upstream.then(raw(body_of(answer)))
    for text in ("one", "two"):
        chat.send(text, headers=in_conversation(conversation)).raise_for_status()
    assert json.loads(chat.all_turns(conversation)[1].raw) == answer
    assert upstream.last.messages[1] == REASONED


def test_string_content_stays_string(chat: RunningGateway, upstream: Upstream) -> None:
    ann = {"x-user-id": new_id()}
    chat.send("My locker at the gym is 8314.", headers=ann).raise_for_status()
    question = "Which locker is mine at the gym?"
    upstream.then(fails(500))
    chat.send("Hello.", headers={**ann, "x-conversation-id": "other"})
    headers = {**ann, "x-conversation-id": "other"}
    chat.send(question, headers=headers).raise_for_status()
    (forwarded,) = upstream.last.messages
    assert "8314" in forwarded["content"]
    assert forwarded["content"].endswith(f"</recalled_turns>\nHello.\n{question}")


def test_preamble_of_client_is_forwarded(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    talk = user("My dog is Rex.") + assistant("A fine name.")
    upstream.then(says("A fine name."))
    chat.send(talk[:1], headers=headers).raise_for_status()
    talk += user("He is red.") + assistant("You said: He is red.")
    chat.send(talk[:3], headers=headers).raise_for_status()
    summary = user("Summary: the dog is Rex.") + assistant("Noted.")
    chat.send([*summary, *talk[2:], *user("So?")], headers=headers).raise_for_status()
    assert upstream.last.messages == [*summary, *talk, *user("So?")]
    stored = [turn.text for turn in chat.all_turns(headers["x-conversation-id"])]
    assert stored == [
        entry["content"] for entry in [*talk, *user("So?"), *assistant("You said: So?")]
    ]


def test_two_messages_of_client_in_a_row_stay_two(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    messages = [{**user("a")[0], "name": "ann"}, {**user("b")[0], "name": "bob"}]
    upstream.strict = False
    chat.send(messages, headers=headers).raise_for_status()
    upstream.strict = True
    assert upstream.last.messages == messages


def test_late_tool_result_follows_its_call(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    upstream.then(raw(body_of(REASONED_CALL)), says("Wait."))
    for messages in (LOOP[:1], user("Hurry."), LOOP[2:]):
        chat.send(messages, headers=headers).raise_for_status()
    forwarded = upstream.last.messages
    assert forwarded == [*LOOP, *user("Hurry."), *assistant("Wait.")]


def test_odd_fields_of_an_answer_do_not_prevent_storing(
    chat: RunningGateway, upstream: Upstream
) -> None:
    conversation = new_id()
    odd = b'{"id": 7, "type": [], "name": {}, "metadata": 1, "created_at": "x", "content": "Ok.",'
    odd += b'"score": NaN, "far": 1e999, "a": {"b": "\\u0000"}}'
    upstream.then(raw(b'{"choices": [{"message": ' + odd + b"}]}"))
    answer = chat.send("hello", headers=in_conversation(conversation)).raise_for_status()
    assert "x-memory-error" not in answer.headers
    assert chat.texts(conversation) == ["hello", "Ok."]


def collected(stream: bytes) -> AnswerCollector:
    reader, collector = EventStreamReader(), AnswerCollector()
    collector.add_events(reader.feed(stream).events)
    return collector


def test_reasoning_alone_is_no_answer() -> None:
    assert collected(stream_of({"reasoning_content": "Hm"}, {"content": ""})).messages() == []


def test_shortened_old_result_is_forwarded(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    upstream.then(raw(body_of(REASONED_CALL)), says(REASONED), says("Bye."))
    for message in (LOOP[0], LOOP[2], *user("thanks")):
        chat.send([message], headers=headers).raise_for_status()
    resent = [*LOOP[:2], {**RESULT, "content": "[old result]"}, REASONED, *user("thanks")]
    resent += assistant("Bye.") + user("One more thing.")
    chat.send(resent, headers=headers).raise_for_status()
    assert upstream.last.messages == resent
    assert chat.turn_count(headers["x-conversation-id"]) == 8


def test_vendor_fields_of_stored_turns_are_left_out_if_refused(
    chat: RunningGateway, upstream: Upstream
) -> None:
    headers, model = in_conversation(new_id()), new_id()
    upstream.then(raw(body_of(REASONED_CALL)))
    chat.send(LOOP[:1], headers=headers).raise_for_status()
    upstream.then(fails(422, "Extra inputs are not permitted: reasoning_content"))
    chat.send(LOOP[2:], headers=headers, model=model).raise_for_status()
    call = {name: value for name, value in CALL.items() if name != "extra_content"}
    bare = {"role": "assistant", "content": None, "tool_calls": [call]}
    plain = [LOOP[0], bare, RESULT]
    assert upstream.last.messages == plain
    asked = len(upstream.requests)
    chat.send("thanks", headers=headers, model=model).raise_for_status()
    assert len(upstream.requests) == asked + 1
    assert upstream.last.messages[1] == bare


def test_vendor_fields_of_client_are_not_left_out(chat: RunningGateway, upstream: Upstream) -> None:
    upstream.then(fails(422, "Extra inputs are not permitted: reasoning_content"))
    answer = chat.send(LOOP, headers=in_conversation(new_id()))
    assert (answer.status_code, len(upstream.requests)) == (422, 1)


def test_stored_system_messages_are_one(chat: RunningGateway, upstream: Upstream) -> None:
    conversation = new_id()
    roles = ("system", "developer", "user", "system", "assistant", "assistant")
    items = [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]
    body = {"id": conversation, "items": items}
    chat.http.post("/v1/conversations", json=body).raise_for_status()
    chat.send("hello", headers=in_conversation(conversation)).raise_for_status()
    first, *others = upstream.last.messages
    assert first["content"] == "system 0\ndeveloper 1"
    assert others == user("user 2") + assistant("assistant 4\nassistant 5") + user("hello")


def test_new_message_may_repeat_an_older_one(chat: RunningGateway, upstream: Upstream) -> None:
    headers = in_conversation(new_id())
    for text in ("one", "yes", "no", "yes"):
        chat.send(text, headers=headers).raise_for_status()
    said = [message["content"] for message in upstream.last.messages if message["role"] == "user"]
    assert said == ["one", "yes", "no", "yes"]
