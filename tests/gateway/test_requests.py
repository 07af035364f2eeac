"""The conversation and user of a request, and what is forwarded of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import fails

TEXT = {"type": "text", "text": "hello there"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-conversation-id": "{id}"}, {"conversation": "no", "metadata": {"a": "b"}}),
        ({}, {"metadata": {"conversation_id": "{id}"}, "conversation": "no"}),
        ({}, {"conversation": "{id}"}),
        ({}, {"conversation": {"id": "{id}"}}),
    ],
)
def test_conversation_id_precedence_header_metadata_body(
    chat: RunningGateway, headers: dict[str, str], body: dict[str, Any]
) -> None:
    conversation = new_id()
    fields = json.loads(json.dumps([headers, body]).replace("{id}", conversation))
    answer = chat.send("hello", headers=fields[0], **fields[1]).raise_for_status()
    assert answer.headers["x-conversation-id"] == conversation
    assert chat.texts(conversation) == ["hello", "You said: hello"]
    assert "conversation" not in chat.upstream.last.body
    assert chat.upstream.last.body.get("metadata") in (None, {"a": "b"})


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-user-id": "{id}"}, {"user": "another"}),
        ({}, {"user": "{id}", "safety_identifier": "another"}),
        ({}, {"safety_identifier": "{id}"}),
    ],
)
def test_user_id_precedence_header_user_safety_identifier(
    chat: RunningGateway, headers: dict[str, str], body: dict[str, Any]
) -> None:
    conversation = new_id()
    fields = json.loads(json.dumps([headers, body]).replace("{id}", conversation))
    chat.send("hello", headers=fields[0], **fields[1]).raise_for_status()
    listed = (
        chat.http.get("/v1/conversations", params={"user": conversation}).raise_for_status().json()
    )
    assert len(listed["data"]) == 1


@pytest.mark.parametrize(
    "user_id",
    [
        "ann@example.org",
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c" * 2,
        "tenant/7:Jörg Müller?#%2F&",
        "小明",
    ],
)
def test_user_id_may_be_any_text(chat: RunningGateway, user_id: str) -> None:
    body: dict[str, Any] = {"conversation": new_id(), "user": user_id}
    chat.send("The locker is number 8314.", **body).raise_for_status()
    chat.send("And the bike is green.", headers={b"x-user-id": user_id.encode()}).raise_for_status()
    query = {"query": "Which number has the locker?", "user_id": user_id}
    result = chat.http.post("/v1/search", json=query).raise_for_status().json()
    assert result["data"][0]["text"] == "The locker is number 8314."
    listed = chat.http.get("/v1/conversations", params={"user": user_id}).raise_for_status()
    assert [entry["user"] for entry in listed.json()["data"]] == [user_id, user_id]
    deleted = chat.http.delete(f"/v1/users/{quote(user_id, safe='')}").raise_for_status()
    assert deleted.json()["id"] == user_id
    assert chat.http.post("/v1/search", json=query).status_code == 404


@pytest.mark.parametrize("other_id", ["Ann@example.org", "ann@example.org/", "ann%40example.org"])
def test_user_ids_are_compared_exactly(chat: RunningGateway, other_id: str) -> None:
    conversation = new_id()
    chat.send("hello", conversation=conversation, user="ann@example.org").raise_for_status()
    assert chat.send("hello", conversation=conversation, user=other_id).status_code == 404
    assert chat.http.delete(f"/v1/users/{quote(other_id, safe='')}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "body", "param"),
    [
        ({"x-memory": "perhaps", "x-user-id": "u"}, {}, "x-memory"),
        ({"x-memory-top-k": "101", "x-user-id": "u"}, {}, "x-memory-top-k"),
        ({"x-memory-token-budget": "0", "x-user-id": "u"}, {}, "x-memory-token-budget"),
        ({"x-memory-scope": "all", "x-user-id": "u"}, {}, "x-memory-scope"),
        ({"x-upstream-authorization": "Bearer x"}, {}, "x-upstream-authorization"),
    ],
)
def test_invalid_request_is_refused_and_not_forwarded(
    chat: RunningGateway, headers: dict[str, Any], body: dict[str, Any], param: str
) -> None:
    answer = chat.send(body.pop("messages", user("hello")), headers=headers, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert chat.upstream.requests == []


@pytest.mark.parametrize("headers", [{}, {"x-memory": "off", "x-user-id": "nobody"}])
def test_body_is_forwarded_byte_for_byte_without_memory(
    chat: RunningGateway, headers: dict[str, str]
) -> None:
    content = b'{"model" : "m", "new_thing": [1.0, 2], "messages":[{"role":"user","content":"x"}]}'
    answer = chat.http.post("/v1/chat/completions", content=content, headers=headers)
    assert answer.raise_for_status().json()["choices"][0]["message"]["content"] == "You said: x"
    assert chat.upstream.last.content == content
    assert not [name for name in answer.headers if name.startswith(("x-memory", "x-conv"))]
    assert chat.http.get("/v1/conversations", params={"user": "nobody"}).status_code == 404


def test_unknown_fields_are_forwarded_and_own_fields_removed(chat: RunningGateway) -> None:
    fields = {"reasoning_effort": "low", "top_n_sigma": 1.5, "stop": ["a", None], "seed": 7}
    message = {**user("hello")[0], "id": new_id(), "created_at": 5, "metadata": {"a": "b"}}
    headers = in_conversation(new_id())
    chat.send([message], headers=headers, **fields).raise_for_status()
    assert chat.upstream.last.body == {"model": "m", "messages": user("hello"), **fields}


def test_system_messages_are_first_unchanged_and_not_stored(chat: RunningGateway) -> None:
    conversation = new_id()
    parts = [{"type": "text", "text": "Be  brief.", "cache_control": {"type": "ephemeral"}}]
    systems: Messages = [
        {"role": "developer", "content": parts},
        {"role": "system", "content": "Be kind."},
    ]
    strict, chat.upstream.strict = chat.upstream.strict, False
    chat.send(
        [systems[0], *user("a"), systems[1], *assistant("b"), *user("c")], conversation=conversation
    )
    chat.upstream.strict = strict
    assert chat.upstream.last.messages[:2] == systems
    assert chat.texts(conversation) == ["a", "b", "c", "You said: c"]


def test_image_parts_are_forwarded_and_stored(chat: RunningGateway) -> None:
    conversation = new_id()
    for content in ([TEXT, IMAGE], [{**TEXT, "text": "and now?"}]):
        messages = [{"role": "user", "content": content}]
        chat.send(messages, headers=in_conversation(conversation)).raise_for_status()
    assert chat.upstream.last.messages[0] == {"role": "user", "content": [TEXT, IMAGE]}
    assert chat.upstream.last.messages[-1] == messages[-1]


def test_consecutive_user_messages_are_merged(chat: RunningGateway) -> None:
    conversation = new_id()
    chat.upstream.then(fails(500))
    chat.send("first", headers=in_conversation(conversation))
    chat.send("second", headers=in_conversation(conversation)).raise_for_status()
    assert chat.upstream.last.messages == user("first\nsecond")


def test_models_of_upstream_are_listed(chat: RunningGateway) -> None:
    assert [entry.id for entry in chat.openai.models.list()] == ["stand-in", "stand-in-mini"]


def test_missing_upstream_returns_501_that_names_its_setting(address: str) -> None:
    with httpx2.Client(base_url=address) as http:
        for answer in (
            http.post("/v1/chat/completions", json={"model": "m", "messages": user("hello")}),
            http.get("/v1/models"),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (501, "no_upstream")
            assert "MEMORY_UPSTREAM_BASE_URL" in error["message"]
            assert answer.headers["x-should-retry"] == "false"
