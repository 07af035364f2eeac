"""Stored chat completions, with OpenAI's client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.chatting import RunningGateway, assistant, gateway, in_conversation, new_id, user
from tests.support.upstream import but, echo, fails

IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'QUJD' * 600}"}}
SYSTEM = {"role": "system", "content": "Be kind."}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("completions"), light=True) as running:
        running.upstream.strict = False
        yield running


def ask(chat: RunningGateway, text: str = "hello", **body: Any) -> Any:
    messages: Any = body.pop("messages", user(text))
    request = {"model": "m", "messages": messages, "store": True, **body}
    return chat.openai.chat.completions.create(**request)


def test_stored_completion_is_read_changed_and_deleted(chat: RunningGateway) -> None:
    stored = chat.openai.chat.completions
    created = ask(chat, metadata={"topic": "greeting"})
    assert chat.upstream.last.body["store"] is True
    read = stored.retrieve(created.id)
    assert read.choices == created.choices
    assert read.to_dict()["metadata"] == {"topic": "greeting"}
    changed = stored.update(created.id, metadata={"topic": "other"})
    assert changed.to_dict()["metadata"] == {"topic": "other"}
    assert stored.update(created.id, metadata=None).to_dict()["metadata"] == {}
    deleted = stored.delete(created.id)
    assert (deleted.id, deleted.deleted) == (created.id, True)
    for call in (stored.retrieve, stored.delete, stored.messages.list):
        with pytest.raises(openai.NotFoundError):
            call(created.id)


def test_completions_are_listed_by_model_and_metadata(chat: RunningGateway) -> None:
    stored, tag = chat.openai.chat.completions, new_id()
    ids = [
        ask(chat, model=model, metadata={"tag": tag, "n": number}).id
        for model, number in (("a", "1"), ("b", "1"), ("a", "2"))
    ]
    filters: Any = {"metadata": {"tag": tag}}
    assert [entry.id for entry in stored.list(**filters)] == ids
    assert [entry.id for entry in stored.list(**filters, order="desc", limit=1)] == ids[::-1]
    assert [entry.id for entry in stored.list(**filters, model="a")] == [ids[0], ids[2]]
    assert [entry.id for entry in stored.list(metadata={"tag": tag, "n": "1"})] == ids[:2]
    assert [entry.id for entry in stored.list(**filters, after=ids[0])] == ids[1:]


def test_messages_are_those_of_the_request(chat: RunningGateway) -> None:
    parts = [{"type": "text", "text": "Look."}, IMAGE]
    sent = [SYSTEM, *user("a\x00"), *assistant("b"), {"role": "user", "content": parts}]
    headers = in_conversation(new_id())
    created = ask(chat, messages=sent, extra_headers=headers)
    messages = list(chat.openai.chat.completions.messages.list(created.id, limit=2))
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert [message.content for message in messages] == ["Be kind.", "a\x00", "b", None]
    assert len({message.id for message in messages}) == 4
    shown = messages[-1].to_dict()["content_parts"]
    assert shown == [parts[0], {"type": "text", "text": "[image]"}]


def test_streamed_completion_is_stored_as_a_whole(chat: RunningGateway) -> None:
    chat.upstream.then(but(echo, finish_reason="length"))
    chunks = list(ask(chat, "hello there", stream=True, stream_options={"include_usage": True}))
    stored = chat.openai.chat.completions.retrieve(chunks[0].id)
    assert stored.object == "chat.completion"
    assert stored.choices[0].message.content == "You said: hello there"
    assert stored.choices[0].finish_reason == "length"
    assert stored.usage == chunks[-1].usage


@pytest.mark.parametrize(
    ("body", "headers"),
    [({"store": False}, {}), ({"store": None}, {}), ({}, {"x-memory": "off"})],
)
def test_completion_is_not_stored_without_the_request_for_it(
    chat: RunningGateway, body: dict[str, Any], headers: dict[str, str]
) -> None:
    created = ask(chat, **body, extra_headers=headers)
    with pytest.raises(openai.NotFoundError):
        chat.openai.chat.completions.retrieve(created.id)


def test_refused_request_stores_no_completion(chat: RunningGateway) -> None:
    before = len(list(chat.openai.chat.completions.list()))
    chat.upstream.then(fails(400))
    assert chat.send("hello", store=True).status_code == 400
    assert len(list(chat.openai.chat.completions.list())) == before


def test_completions_are_deleted_with_conversation_user_and_turn(chat: RunningGateway) -> None:
    stored, conversation, ann = chat.openai.chat.completions, new_id(), new_id()
    headers = in_conversation(conversation)
    first = ask(chat, "one", extra_headers=headers)
    second = ask(chat, "two", extra_headers=headers)
    of_user = ask(chat, "three", extra_headers={"x-user-id": ann})
    item = chat.items(conversation)[2]
    chat.http.delete(f"/v1/conversations/{conversation}/items/{item['id']}").raise_for_status()
    assert [entry.id for entry in stored.list()].count(first.id) == 1
    assert second.id not in [entry.id for entry in stored.list()]
    deletion = chat.http.delete(f"/v1/conversations/{conversation}").raise_for_status().json()
    receipt = chat.http.get(f"/v1/receipts/{deletion['receipt']}").json()
    assert receipt["counts"]["completions"] == 1
    chat.http.delete(f"/v1/users/{ann}").raise_for_status()
    assert not {first.id, second.id, of_user.id} & {entry.id for entry in stored.list()}
