"""Who is speaking: path prefixes, the default user, ids of any form, requests that are no talk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import pytest

from tests.support.chatting import RunningGateway, assistant, gateway, in_conversation, new_id, user

CHAT = "v1/chat/completions"
TASK = "### Task:\nGenerate a concise, 3-5 word title.\n<chat_history>\nUSER: hi\n</chat_history>"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Return a gateway of its own: its default user would name everybody in others."""
    with gateway(tmp_path_factory.mktemp("own"), light=True, default_user="me") as service:
        yield service


def post(running: RunningGateway, prefix: str, text: str = "hello", **body: Any) -> httpx2.Response:
    request = {"model": "m", "messages": user(text), **body}
    return running.http.post(f"{prefix}/{CHAT}", json=request)


def conversations_of(running: RunningGateway, name: str) -> list[dict[str, Any]]:
    answer = running.http.get("/v1/conversations", params={"user": name})
    return [] if answer.status_code == 404 else list(answer.json()["data"])


@pytest.mark.parametrize("name", ["ann", "ann@example.org", "tenant/7", "Jörg Müller?#%2F", "小明"])
def test_path_prefix_names_the_user(chat: RunningGateway, name: str) -> None:
    name = f"{name}{new_id()}"
    answer = post(chat, f"/u/{quote(name, safe='')}").raise_for_status()
    stored = conversations_of(chat, name)
    assert [entry["id"] for entry in stored] == [answer.headers["x-conversation-id"]]


def test_path_prefix_names_the_conversation(chat: RunningGateway) -> None:
    conversation, name = new_id(), new_id()
    for prefix in (
        f"/c/{conversation}",
        f"/u/{name}/c/{conversation}",
        f"/c/{conversation}/u/{name}",
    ):
        answer = post(chat, prefix).raise_for_status()
        assert answer.headers["x-conversation-id"] == conversation


@pytest.mark.parametrize(
    "prefix", ["/u/null", "/c/{{CHAT_ID}}", "/u/", "/u/undefined/c/None", "/c/"]
)
def test_placeholders_in_the_path_name_nobody(chat: RunningGateway, prefix: str) -> None:
    answer = post(chat, quote(prefix)).raise_for_status()
    assert not [name for name in answer.headers if name.startswith(("x-memory", "x-conv"))]


def test_other_routes_work_below_a_prefix(chat: RunningGateway) -> None:
    name = new_id()
    base = f"{chat.address}/u/{name}/v1"
    with openai.OpenAI(base_url=base, api_key="none", max_retries=0) as client:
        assert len(client.models.list().data) == 2
        made = client.conversations.create()
        assert client.conversations.retrieve(made.id).id == made.id
    assert [entry["id"] for entry in conversations_of(chat, name)] == [made.id]
    assert chat.http.get(f"/u/{name}/v1/conversations").json()["data"][0]["id"] == made.id
    assert chat.http.get(f"/u/{new_id()}/v1/conversations").json()["data"] == []
    assert chat.http.get(f"/u/{new_id()}/v1/conversations/{made.id}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/u/ann", "/u/ann/healthz", "/u/a/u/b/v1/models", "/x/ann/v1/models"]
)
def test_other_paths_are_unknown_routes(chat: RunningGateway, path: str) -> None:
    assert chat.http.get(path).json()["error"]["code"] == "unknown_route"


def test_default_user_is_remembered(running: RunningGateway) -> None:
    messages = user("My locker is 8314.")
    first = running.send(messages).raise_for_status().headers["x-conversation-id"]
    messages += assistant("You said: My locker is 8314.") + user("And my cat?")
    assert running.send(messages).headers["x-conversation-id"] == first
    assert [entry["user"] for entry in conversations_of(running, "me")] == ["me"]
    other = running.send("hello", user="bob").raise_for_status().headers["x-conversation-id"]
    assert [entry["id"] for entry in conversations_of(running, "bob")] == [other]


def test_default_user_does_not_close_conversations_of_others(running: RunningGateway) -> None:
    conversation = new_id()
    named = in_conversation(conversation, **{"x-user-id": "bob"})
    running.send("hello", headers=named).raise_for_status()
    running.send("and now?", headers=in_conversation(conversation)).raise_for_status()
    assert len(running.texts(conversation)) == 4


@pytest.mark.parametrize("sent", ["agent:main:main", "a b/c", "ä", "x" * 200])
def test_conversation_id_may_be_any_text(chat: RunningGateway, sent: str) -> None:
    sent = f"{sent}{new_id()}"
    headers = {b"x-conversation-id": sent.encode()}
    stored = chat.send("hello", headers=headers).raise_for_status().headers["x-conversation-id"]
    answer = chat.send("again", metadata={"conversation_id": sent}).raise_for_status()
    assert answer.headers["x-conversation-id"] == stored
    assert chat.texts(stored)[::2] == ["hello", "again"]


@pytest.mark.parametrize("name", ["x" * 200, "ann\nlee", 4711])
def test_user_of_any_form_is_remembered(chat: RunningGateway, name: Any) -> None:
    first = chat.send("hello", user=name).raise_for_status().headers["x-conversation-id"]
    messages = user("hello") + assistant("You said: hello") + user("why?")
    assert chat.send(messages, user=name).headers["x-conversation-id"] == first


def test_header_in_latin_1_names_the_same_user_as_the_body(chat: RunningGateway) -> None:
    name = f"Jörg{new_id()}"
    chat.send("hello", user=name).raise_for_status()
    chat.send("bye", headers={b"x-user-id": name.encode("latin-1")}).raise_for_status()
    assert len(conversations_of(chat, name)) == 2


@pytest.mark.parametrize(
    "fields", [{"user": ""}, {"conversation": 1.5}, {"user": ["a"]}, {"user": "null"}]
)
def test_fields_that_name_nobody_are_forwarded(
    chat: RunningGateway, fields: dict[str, Any]
) -> None:
    answer = chat.send("hello", **fields).raise_for_status()
    assert "x-conversation-id" not in answer.headers
    assert chat.upstream.last.body == {
        "model": "m",
        "messages": user("hello"),
        **{name: value for name, value in fields.items() if name != "conversation"},
    }


@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_are_no_conversation_are_forwarded_only(
    chat: RunningGateway, *, stream: bool
) -> None:
    conversation, name = new_id(), new_id()
    headers = {"x-openwebui-chat-id": conversation, "x-openwebui-user-id": name}
    chat.send("My locker is 8314.", headers=headers).raise_for_status()
    before = chat.all_texts(conversation)
    answer = chat.send(TASK, headers=headers, stream=stream, metadata={"a": "b"})
    assert answer.raise_for_status().headers["x-memory-skipped"] in {"task", "title"}
    assert chat.upstream.last.body["messages"] == user(TASK)
    assert chat.upstream.last.body["metadata"] == {"a": "b"}
    messages = user("My locker is 8314.") + assistant(before[1]) + user("Which is mine?")
    chat.send(messages, headers=headers).raise_for_status()
    assert chat.texts(conversation)[:3] == [*before, "Which is mine?"]
    assert len(chat.all_texts(conversation)) == 4


@pytest.mark.parametrize("prefix", ["local", "temporary"])
def test_temporary_chats_are_answered_and_not_stored(chat: RunningGateway, prefix: str) -> None:
    conversation, name = f"{prefix}:{new_id()}", new_id()
    headers = {"x-openwebui-chat-id": conversation, "x-openwebui-user-id": name}
    answer = chat.send("hello", headers=headers).raise_for_status()
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"
    assert answer.headers["x-memory-skipped"] == "temporary"
    assert "x-conversation-id" not in answer.headers
    assert conversations_of(chat, name) == []


def test_response_that_is_no_conversation_is_not_kept(chat: RunningGateway) -> None:
    headers = {"user-agent": "opencode/1.15.4", "x-session-affinity": f"ses_{new_id()}"}
    body = {
        "model": "m",
        "instructions": "You are a title generator. You output ONLY a thread title.",
        "input": "fix src/a.py",
    }
    answer = chat.http.post("/v1/responses", json=body, headers=headers).raise_for_status()
    assert answer.headers["x-memory-skipped"] == "title"
    assert answer.json()["store"] is False
    assert chat.http.get(f"/v1/responses/{answer.json()['id']}").status_code == 404
    conversation = headers["x-session-affinity"]
    assert chat.http.get(f"/v1/conversations/{conversation}").status_code == 404
    answer = chat.http.post("/v1/responses", json={**body, "instructions": ""}, headers=headers)
    assert answer.raise_for_status().headers["x-conversation-id"] == conversation


def test_nothing_is_skipped_where_nobody_is_named(chat: RunningGateway) -> None:
    assert "x-memory-skipped" not in chat.send(TASK).raise_for_status().headers
    headers = {"x-memory": "off", "x-user-id": "u"}
    assert "x-memory-skipped" not in chat.send(TASK, headers=headers).headers
