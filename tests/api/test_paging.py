"""Pages of lists equal those of a model: a list of ids that is cut after an id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import BaseModel
from openai._base_client import make_request_options
from openai.pagination import SyncConversationCursorPage

from memory_service.core.settings import Settings
from memory_service.server import running
from tests.support.factories import message

Ids = list[str]
SIZES = (0, 1, 2, 20, 21, 137)
NAMES = ("conversations", "of ann", "users", *(f"items of {size}" for size in SIZES))


class Entry(BaseModel):
    """An entry of any list."""

    id: str


class Listings:
    """A server with data, and the expected ids of each list, oldest first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paths: dict[str, tuple[str, dict[str, Any]]] = {
            "conversations": ("/conversations", {}),
            "of ann": ("/conversations", {"user": "ann"}),
            "users": ("/users", {}),
        }
        self.ids: dict[str, Ids] = {"conversations": [], "of ann": [], "users": []}
        for number in range(31):
            self._add_user(number)
        for size in SIZES:
            self._add_items(size)

    def page(self, name: str, **query: Any) -> dict[str, Any]:
        """Return one page of a listing."""
        path, fixed = self.paths[name]
        answer = httpx2.get(f"{self.url}/v1{path}", params={**fixed, **query})
        return dict(answer.raise_for_status().json())

    def _create(self, **body: Any) -> None:
        httpx2.post(f"{self.url}/v1/conversations", json=body).raise_for_status()
        self.ids["conversations"].append(body["id"])

    def _add_user(self, number: int) -> None:
        user = "ann" if number % 3 == 1 else f"user-{100 - number}"
        self._create(id=f"c-{(number * 37) % 101}", user=user)
        if user == "ann":
            self.ids["of ann"].append(self.ids["conversations"][-1])
        if user not in self.ids["users"]:
            self.ids["users"].append(user)

    def _add_items(self, size: int) -> None:
        ids = [f"i-{size}-{(number * 59) % 1_009}" for number in range(size)]
        self._create(id=f"items-{size}", items=[message(id=item_id) for item_id in ids])
        self.paths[f"items of {size}"] = (f"/conversations/items-{size}/items", {})
        self.ids[f"items of {size}"] = ids


@pytest.fixture(scope="module")
def listings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listings]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("paging"), port=0, log_level="warning")
    with running(settings, "tests") as url:
        yield Listings(url)


def expected(ids: Sequence[str], after: str | None, limit: int, order: str) -> dict[str, Any]:
    """Return the page of the model."""
    ordered = list(ids) if order == "asc" else list(reversed(ids))
    remaining = ordered if after is None else ordered[ordered.index(after) + 1 :]
    page = remaining[:limit]
    return {
        "object": "list",
        "ids": page,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
        "has_more": len(remaining) > limit,
    }


@given(data=st.data(), name=st.sampled_from(NAMES), order=st.sampled_from(["asc", "desc"]))
def test_pages_equal_the_model(
    listings: Listings, data: st.DataObject, name: str, order: str
) -> None:
    ids = listings.ids[name]
    after = data.draw(st.sampled_from([None, *ids]), "after")
    limit = data.draw(st.integers(1, 100) | st.sampled_from([1, max(1, len(ids) % 101)]), "limit")
    query = {"order": order, "limit": limit, **({} if after is None else {"after": after})}
    page = listings.page(name, **query)
    actual = {**page, "ids": [entry["id"] for entry in page["data"]]}
    del actual["data"]
    assert actual == expected(ids, after, limit, order)


@pytest.mark.parametrize("name", NAMES)
def test_default_page_size_and_order(listings: Listings, name: str) -> None:
    order = "asc" if name == "users" else "desc"
    page = listings.page(name)
    assert [entry["id"] for entry in page["data"]] == (
        expected(listings.ids[name], None, 20, order)["ids"]
    )


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("name", ["conversations", "of ann", "users", "items of 21"])
def test_openai_client_iterates_over_all_pages(
    listings: Listings, name: str, limit: int, order: str
) -> None:
    path, fixed = listings.paths[name]
    query = {**fixed, "limit": limit, "order": order}
    with openai.OpenAI(base_url=f"{listings.url}/v1", api_key="none") as client:
        pages = client.get_api_list(
            path,
            page=SyncConversationCursorPage[Entry],
            model=Entry,
            options=make_request_options(query=query),
        )
        page_ids = [entry.id for entry in pages]
    assert page_ids == expected(listings.ids[name], None, 1_000, order)["ids"]


def test_openai_client_lists_all_items(listings: Listings) -> None:
    with openai.OpenAI(base_url=f"{listings.url}/v1", api_key="none") as client:
        pages = client.conversations.items.list("items-137", order="asc", limit=50)
        assert [item.id for item in pages] == listings.ids["items of 137"]


def test_item_appended_while_paging_is_listed_once(client: openai.OpenAI) -> None:
    items: Any = [message(id=name) for name in "abcd"]
    conversation = client.conversations.create(items=items[:3]).id
    listing = client.conversations.items
    first = listing.list(conversation, order="asc", limit=2)
    listing.create(conversation, items=items[3:])
    assert [item.id for item in first] == list("abcd")


def test_item_deleted_while_paging_is_skipped(client: openai.OpenAI) -> None:
    items: Any = [message(id=name) for name in "abcd"]
    conversation = client.conversations.create(items=items).id
    first = client.conversations.items.list(conversation, order="asc", limit=2)
    client.conversations.items.delete("c", conversation_id=conversation)
    assert [item.id for item in first] == list("abd")


def test_page_after_deleted_item_returns_404(client: openai.OpenAI) -> None:
    items: Any = [message(id=name) for name in "ab"]
    conversation = client.conversations.create(items=items).id
    client.conversations.items.delete("a", conversation_id=conversation)
    with pytest.raises(openai.NotFoundError) as raised:
        client.conversations.items.list(conversation, after="a")
    assert raised.value.param == "after"
