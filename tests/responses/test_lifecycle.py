"""Stored responses: retrieving, listing input, deleting, and what is not stored."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.responses.checking import check_events, check_items, checked_response, events_of
from tests.support.chatting import RunningGateway, in_conversation, new_id
from tests.support.upstream import Behaviour, fails, raw


def create(chat: RunningGateway, text: Any = "Hi.", **fields: Any) -> str:
    response: Response = chat.openai.responses.create(model="m", input=text, **fields)
    return response.id


def status_of(chat: RunningGateway, response_id: str) -> int:
    return chat.http.get(f"/v1/responses/{response_id}").status_code


def test_retrieved_response_is_the_created_one(chat: RunningGateway) -> None:
    created = chat.http.post("/v1/responses", json={"model": "m", "input": "Hi."}).json()
    stored = chat.http.get(f"/v1/responses/{created['id']}").json()
    assert stored == created
    checked_response(stored)


def test_events_of_a_stored_response(chat: RunningGateway) -> None:
    response_id = create(chat)
    url = f"/v1/responses/{response_id}"
    events = events_of(chat.http.get(url, params={"stream": "true"}).content)
    assert check_events(events) == chat.http.get(url).json()
    rest = chat.http.get(url, params={"stream": "true", "starting_after": 3}).content
    assert events_of(rest) == events[4:]


def test_input_items_are_pages_of_the_input(chat: RunningGateway) -> None:
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "user", "content": [{"type": "input_text", "text": "Two."}]},
    ]
    response_id = create(chat, items)
    listed = list(chat.openai.responses.input_items.list(response_id, limit=2, order="asc"))
    assert [item.role for item in listed if item.type == "message"] == ["developer", "user", "user"]
    url = f"/v1/responses/{response_id}/input_items"
    page = chat.http.get(url, params={"limit": 2}).json()
    check_items(page["data"])
    assert page["has_more"] is True
    assert page["data"][0]["content"][0]["text"] == "Two."
    rest = chat.http.get(url, params={"after": page["last_id"]}).json()
    assert [item["role"] for item in rest["data"]] == ["developer"]


def test_input_items_of_a_resent_history(chat: RunningGateway) -> None:
    headers = in_conversation(new_id())
    items: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
    ]
    create(chat, items, extra_headers=headers)
    items += [{"role": "assistant", "content": "You said: One."}]
    items += [{"role": "user", "content": "Two."}]
    response_id = create(chat, items, extra_headers=headers)
    listed = list(chat.openai.responses.input_items.list(response_id, order="asc"))
    check_items(item.model_dump() for item in listed)
    roles = [item.role for item in listed if item.type == "message"]
    assert roles == ["system", "user", "assistant", "user"]
    follow_up = create(chat, "Three.", previous_response_id=response_id)
    assert chat.upstream.last.messages[0] == {"role": "system", "content": "Be brief."}
    create(chat, "Four.", previous_response_id=follow_up)
    assert chat.upstream.last.messages[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("behaviour", [fails(500), raw(b"<html>")], ids=["error", "no JSON"])
def test_failed_request_leaves_no_conversation_without_a_name(
    chat: RunningGateway, behaviour: Behaviour
) -> None:
    conversations = chat.http.get("/v1/conversations", params={"limit": 100}).json()
    chat.upstream.then(behaviour)
    assert chat.http.post("/v1/responses", json={"model": "m", "input": "Hi."}).is_server_error
    assert chat.http.get("/v1/conversations", params={"limit": 100}).json() == conversations
    headers = in_conversation(new_id())
    chat.upstream.then(behaviour)
    chat.http.post("/v1/responses", json={"model": "m", "input": "Hi."}, headers=headers)
    assert chat.texts(headers["x-conversation-id"]) == ["Hi."]


def test_response_without_store_is_not_kept(chat: RunningGateway) -> None:
    headers = in_conversation(new_id())
    response_id = create(chat, store=False, extra_headers=headers)
    assert status_of(chat, response_id) == 404
    assert len(chat.texts(headers["x-conversation-id"])) == 2


@pytest.mark.parametrize("mode", ["read", "off"])
def test_response_is_not_kept_if_memory_does_not_store(chat: RunningGateway, mode: str) -> None:
    headers = in_conversation(new_id(), **{"x-memory": mode})
    response_id = create(chat, extra_headers=headers)
    assert status_of(chat, response_id) == 404
    assert chat.turn_count(headers["x-conversation-id"]) == 0


def test_request_without_names_and_store_is_only_forwarded(chat: RunningGateway) -> None:
    response = chat.http.post("/v1/responses", json={"model": "m", "input": "Hi.", "store": False})
    assert "x-conversation-id" not in response.headers
    assert response.json()["store"] is False


def test_deleting_the_only_response_deletes_its_conversation(chat: RunningGateway) -> None:
    created = chat.openai.responses.with_raw_response.create(model="m", input="Hi.")
    response_id = created.parse().id
    conversation = created.headers["x-conversation-id"]
    second = create(chat, previous_response_id=response_id)
    chat.openai.responses.delete(response_id)
    assert status_of(chat, response_id) == 404
    assert len(chat.texts(conversation)) == 4
    chat.openai.responses.delete(second)
    assert chat.http.get(f"/v1/conversations/{conversation}").status_code == 404


def test_deleting_a_response_keeps_a_named_conversation(chat: RunningGateway) -> None:
    conversation = new_id()
    response_id = create(chat, conversation=conversation)
    deleted = chat.http.delete(f"/v1/responses/{response_id}").json()
    assert (deleted["object"], deleted["deleted"]) == ("response", True)
    receipt = chat.http.get(f"/v1/receipts/{deleted['receipt']}").json()
    assert (receipt["kind"], receipt["counts"]) == ("response", {"responses": 1})
    assert len(chat.texts(conversation)) == 2


def test_deleting_the_conversation_deletes_its_responses(chat: RunningGateway) -> None:
    conversation = new_id()
    response_id = create(chat, conversation=conversation)
    chat.http.delete(f"/v1/conversations/{conversation}").raise_for_status()
    assert status_of(chat, response_id) == 404


def test_deleted_item_is_gone_from_the_response(chat: RunningGateway) -> None:
    conversation = new_id()
    response_id = create(chat, conversation=conversation)
    answer = chat.items(conversation)[1]["id"]
    chat.http.delete(f"/v1/conversations/{conversation}/items/{answer}").raise_for_status()
    assert chat.openai.responses.retrieve(response_id).output == []
    create(chat, "More.", previous_response_id=response_id)
    assert chat.texts(conversation)[:2] == ["Hi.", "More."]


def test_cancelling_is_refused(chat: RunningGateway) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        chat.openai.responses.cancel(create(chat))
    assert error.value.code == "not_cancellable"
    with pytest.raises(openai.NotFoundError):
        chat.openai.responses.cancel("resp_unknown")


def test_unknown_response_is_not_found(chat: RunningGateway) -> None:
    for call in (chat.openai.responses.retrieve, chat.openai.responses.delete):
        with pytest.raises(openai.NotFoundError):
            call("resp_unknown")
    with pytest.raises(openai.NotFoundError):
        chat.openai.responses.input_items.list("resp_unknown")


def test_response_of_another_users_conversation_is_not_continued(chat: RunningGateway) -> None:
    response_id = create(chat, user=new_id())
    with pytest.raises(openai.NotFoundError):
        create(chat, previous_response_id=response_id, user=new_id())


def test_input_tokens_are_counted(chat: RunningGateway) -> None:
    counted = chat.openai.responses.input_tokens.count(model="m", input="Hello there.")
    more = chat.openai.responses.input_tokens.count(
        model="m", input="Hello there.", instructions="Be brief."
    )
    assert 0 < counted.input_tokens < more.input_tokens
