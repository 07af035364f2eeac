"""What a request recalls, and the response headers about it."""

from __future__ import annotations

import pytest

from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import Upstream, says

COUNTS = ("recalled", "dropped", "prefix-tokens", "tokens-after", "tokens-before")


@pytest.mark.parametrize(
    ("mode", "stored", "recalled"), [("on", 4, 1), ("read", 2, 1), ("off", 2, 0)]
)
def test_memory_modes(chat: RunningGateway, mode: str, stored: int, recalled: int) -> None:
    conversation = new_id()
    chat.send("My locker is 8314.", headers=in_conversation(conversation)).raise_for_status()
    answer = chat.send("Which locker?", headers=in_conversation(conversation, **{"x-memory": mode}))
    assert answer.raise_for_status()
    assert chat.turn_count(conversation) == stored
    assert ("8314" in str(chat.upstream.last.messages)) == bool(recalled)


@pytest.mark.parametrize("conversation_header", [{}, {"x-conversation-id": "never-stored"}])
def test_read_mode_recalls_other_conversations_of_user(
    chat: RunningGateway, conversation_header: dict[str, str]
) -> None:
    ann = {"x-user-id": new_id()}
    chat.send("My locker at the gym is 8314.", headers=ann).raise_for_status()
    sent = user("Hello.") + assistant("Hello Ann.") + user("Which locker is mine at the gym?")
    answer = chat.send(
        sent, headers={**ann, **conversation_header, "x-memory": "read"}
    ).raise_for_status()
    forwarded = chat.upstream.last.messages
    assert forwarded[:2] == sent[:2]
    assert ["8314" in str(message) for message in forwarded] == [False, False, True]
    assert "x-conversation-id" not in answer.headers
    listed = chat.http.get("/v1/conversations", params={"user": ann["x-user-id"]})
    assert len(listed.json()["data"]) == 1
    assert chat.http.get("/v1/conversations/never-stored").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-user-id": "nobody"}, {"x-user-id": "{ann}", "x-memory-scope": "conversation"}],
)
def test_read_mode_without_known_user_forwards_request(
    chat: RunningGateway, headers: dict[str, str]
) -> None:
    ann = new_id()
    chat.send("My locker is 8314.", headers={"x-user-id": ann}).raise_for_status()
    user_headers = {name: value.replace("{ann}", ann) for name, value in headers.items()}
    read = {"x-memory": "read", "x-conversation-id": "never-stored", **user_headers}
    answer = chat.send("Which locker is mine?", headers=read).raise_for_status()
    assert chat.upstream.last.messages == user("Which locker is mine?")
    assert not [name for name in answer.headers if name.startswith("x-memory")]


def test_read_mode_cuts_long_history_between_tool_groups(chat: RunningGateway) -> None:
    ann = {"x-user-id": new_id(), "x-memory": "read"}
    chat.send("hello", headers={"x-user-id": ann["x-user-id"]}).raise_for_status()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: Messages = [
        message for n in range(9) for message in user("x " * 90) + assistant(f"y{n} " * 90)
    ]
    messages += [*user("go"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": "c", "content": "done"}]
    chat.send(messages, headers={**ann, "x-memory-token-budget": "1000"}).raise_for_status()
    forwarded = chat.upstream.last.messages
    assert forwarded[-3:] == messages[-3:]
    assert len(forwarded) < len(messages)


def test_response_headers_describe_memory(chat: RunningGateway) -> None:
    conversation = new_id()
    messages = user("My locker is 8314.") + assistant("Noted.")
    for number in range(24):
        messages += user(f"The colour of box {number} is {number * 7}.") + assistant(
            f"Box {number}."
        )
    messages += user("Which locker is mine?")
    headers = in_conversation(conversation) | {"x-memory-token-budget": "700"}
    responses = [chat.send(messages, headers=headers).raise_for_status()]
    messages += assistant("You said: Which locker is mine?") + user("And which box?")
    responses.append(chat.send(messages, headers=headers).raise_for_status())
    first, second = (
        [int(message.headers[f"x-memory-{n}"]) for n in COUNTS] for message in responses
    )
    assert first[0] >= 1
    assert (first[2], second[2] > 0) == (0, True)
    assert 0 < second[3] < second[4]
    assert float(responses[1].headers["x-memory-ms"]) > 0
    trace = chat.http.get(
        f"/v1/traces/{responses[0].headers['x-memory-trace-id']}"
    ).raise_for_status()
    outcomes = [message["outcome"] for message in trace.json()["candidates"]]
    assert outcomes.count("recalled") == first[0]


@pytest.mark.parametrize(
    ("headers", "is_recalled"),
    [
        ({}, True),
        ({"x-memory-scope": "user"}, True),
        ({"x-memory-scope": "conversation"}, False),
        ({"x-memory-top-k": "0"}, False),
    ],
)
def test_recall_scope_and_top_k_headers(
    chat: RunningGateway, headers: dict[str, str], *, is_recalled: bool
) -> None:
    ann = {"x-user-id": new_id()}
    for text in ("My locker at the gym is 8314.", "Which locker at the gym is mine?"):
        chat.send(text, headers={**ann, **headers, **in_conversation(new_id())}).raise_for_status()
    assert ("8314" in str(chat.upstream.last.messages)) == is_recalled


def test_echo_of_recalled_text_is_stored_and_not_indexed(
    chat: RunningGateway, upstream: Upstream
) -> None:
    ann, fact = {"x-user-id": new_id()}, "The key of the blue shed hangs behind the kitchen clock."
    chat.send(fact, headers=ann | in_conversation(new_id())).raise_for_status()
    conversation = new_id()
    upstream.then(says(f"You told me: {fact} Shall I also look for the spare umbrella stand?"))
    question = "Where is the key of the shed?"
    answer = chat.send(question, headers=ann | in_conversation(conversation)).raise_for_status()
    assert answer.headers["x-memory-recalled"] != "0"
    assert fact in chat.texts(conversation)[1]
    with chat.log.read() as snapshot:
        stored = snapshot.conversations.get(snapshot.projects.key_of("local") or 0, conversation)
        answered = list(snapshot.turns.all(stored.key if stored else 0))[1]
        passages = snapshot.passages.of_turns([answered.key])
    indexed = [answered.text[passage.start : passage.end] for passage in passages]
    assert indexed == ["Shall I also look for the spare umbrella stand?"]
