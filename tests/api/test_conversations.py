"""Conversations through the OpenAI client: create, read, change, list and delete."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai.types.conversations import Conversation, ConversationDeletedResource

from tests.support.factories import message


def create(client: openai.OpenAI, **extensions: Any) -> Conversation:
    return client.conversations.create(extra_body=extensions)


def list_ids(address: str, **query: Any) -> list[str]:
    page = httpx2.get(f"{address}/v1/conversations", params=query).json()
    return [conversation["id"] for conversation in page["data"]]


def items_of(client: openai.OpenAI, conversation_id: str) -> list[str | None]:
    return [item.id for item in client.conversations.items.list(conversation_id, order="asc")]


def test_create_with_items_and_metadata(client: openai.OpenAI) -> None:
    items: Any = [message("one", id="a"), message("two", "assistant", id="b")]
    created = client.conversations.create(items=items, metadata={"topic": "demo"})
    assert isinstance(created, Conversation)
    assert created.metadata == {"topic": "demo"}
    assert items_of(client, created.id) == ["a", "b"]


def test_create_with_empty_body(address: str) -> None:
    answer = httpx2.post(f"{address}/v1/conversations")
    assert answer.status_code == 200
    assert Conversation.model_validate_json(answer.content).metadata == {}


def test_generated_ids_are_unique(client: openai.OpenAI) -> None:
    assert len({create(client).id for _ in range(5)}) == 5


def test_responses_match_openai_types(client: openai.OpenAI) -> None:
    raw = client.conversations.with_raw_response
    created = Conversation.model_validate_json(raw.create(metadata={"a": "b"}).text)
    for answer in (raw.retrieve(created.id), raw.update(created.id, metadata={"a": "b"})):
        assert Conversation.model_validate_json(answer.text).model_dump() == created.model_dump()
    deleted = ConversationDeletedResource.model_validate_json(raw.delete(created.id).text)
    assert (deleted.id, deleted.deleted) == (created.id, True)


@pytest.mark.parametrize("metadata", [{"new": "2"}, {}, None])
def test_update_replaces_all_metadata(
    client: openai.OpenAI, metadata: dict[str, str] | None
) -> None:
    created = client.conversations.create(metadata={"old": "1"})
    client.conversations.update(created.id, metadata=metadata)
    assert client.conversations.retrieve(created.id).metadata == (metadata or {})


def test_update_of_title_keeps_metadata(client: openai.OpenAI, address: str) -> None:
    created = client.conversations.create(metadata={"old": "1"}, extra_body={"title": "before"})
    answer = httpx2.post(f"{address}/v1/conversations/{created.id}", json={"title": "after"}).json()
    assert (answer["title"], answer["metadata"]) == ("after", {"old": "1"})


def test_update_of_metadata_keeps_title(client: openai.OpenAI) -> None:
    created = create(client, title="before")
    assert client.conversations.update(created.id, metadata={}).to_dict()["title"] == "before"


@pytest.mark.parametrize("method", ["retrieve", "delete"])
def test_deleted_conversation_returns_404(client: openai.OpenAI, method: str) -> None:
    created = create(client)
    client.conversations.delete(created.id)
    with pytest.raises(openai.NotFoundError) as raised:
        getattr(client.conversations, method)(created.id)
    assert raised.value.param == "conversation_id"


def test_receipt_has_counts_and_no_text(client: openai.OpenAI, address: str) -> None:
    items: Any = [message("a secret of gold"), message("another")]
    created = client.conversations.create(items=items)
    receipt = client.conversations.delete(created.id).to_dict()["receipt"]
    answer = httpx2.get(f"{address}/v1/receipts/{receipt}")
    assert answer.json()["kind"] == "conversation"
    assert answer.json()["counts"]["turns"] == 2
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("created_at", "shown"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.75, 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        (0, 0),
    ],
)
def test_extension_fields_are_returned(
    client: openai.OpenAI, created_at: float | str, shown: int
) -> None:
    create(client, id="mine-1", user="ann", title="Öl & Brot", created_at=created_at)
    fields = client.conversations.retrieve("mine-1").to_dict()
    assert fields == {
        "id": "mine-1",
        "object": "conversation",
        "created_at": shown,
        "metadata": {},
        "user": "ann",
        "title": "Öl & Brot",
        "summaries": None,
    }


def test_list_conversations_of_user_newest_first(client: openai.OpenAI, address: str) -> None:
    for number, user in enumerate(["ann", "bob", "ann", "ann"]):
        create(client, id=f"c{number}", user=user)
    assert list_ids(address, user="ann") == ["c3", "c2", "c0"]
    assert list_ids(address, user="ann", order="asc") == ["c0", "c2", "c3"]
    assert list_ids(address) == ["c3", "c2", "c1", "c0"]


def test_existing_id_returns_409_without_retry(address: str) -> None:
    body = {"id": "taken", "title": "first"}
    httpx2.post(f"{address}/v1/conversations", json=body).raise_for_status()
    again = httpx2.post(f"{address}/v1/conversations", json={"id": "taken"})
    assert again.status_code == 409
    assert again.headers["x-should-retry"] == "false"
    assert (again.json()["error"]["param"], again.json()["error"]["code"]) == ("id", "id_exists")


def test_openai_client_does_not_retry_conflict(address: str) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=5) as retrying:
        create(retrying, id="taken", title="first")
        with pytest.raises(openai.ConflictError) as raised:
            create(retrying, id="taken")
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_id_of_deleted_conversation_is_free(client: openai.OpenAI) -> None:
    create(client, id="again", title="first")
    client.conversations.delete("again")
    assert create(client, id="again", title="second").to_dict()["title"] == "second"


def test_unknown_fields_are_ignored(
    client: openai.OpenAI,
) -> None:
    created = create(client, colour="red", store=True)
    client.conversations.update(created.id, metadata={"a": "b"}, extra_body={"colour": "blue"})
    items: Any = [message(id="a", colour="green")]
    client.conversations.items.create(created.id, items=items, extra_body={"colour": "green"})
    assert "colour" not in client.conversations.retrieve(created.id).to_dict()
    assert items_of(client, created.id) == ["a"]


def test_delete_user_deletes_conversations(client: openai.OpenAI, address: str) -> None:
    for number, user in enumerate(["ann", "bob", "ann"]):
        create(client, id=f"c{number}", user=user)
    answer = httpx2.delete(f"{address}/v1/users/ann")
    assert (answer.json()["id"], answer.json()["object"]) == ("ann", "user.deleted")
    assert list_ids(address) == ["c1"]
    users = httpx2.get(f"{address}/v1/users").json()["data"]
    assert [(user["id"], user["conversations"]) for user in users] == [("bob", 1)]


def test_list_users_with_counts_and_times(client: openai.OpenAI, address: str) -> None:
    create(client, user="ann", items=[message("one"), message("two")])
    create(client, user="ann", items=[message("three")])
    (user,) = httpx2.get(f"{address}/v1/users").json()["data"]
    assert (user["id"], user["object"]) == ("ann", "user")
    assert (user["conversations"], user["turns"]) == (2, 3)
    assert user["created_at"] <= user["last_seen_at"]
