"""Items over HTTP: every type is stored byte for byte, in a tree with one active branch."""

from __future__ import annotations

import itertools
import json
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import BaseModel
from openai.types.conversations import ConversationItem, ConversationItemList

from memory_service.composition.data_folder import open_log
from memory_service.conversations.export import export_lines
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import LOCAL_PROJECT
from memory_service.turn_log.log import TurnLog
from tests.support.factories import chat_calls, chat_output, function_call, function_output, message

ITEM_TYPES: tuple[type[BaseModel], ...] = get_args(get_args(ConversationItem)[0])
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Server:
    """A running server and its log."""

    url: str
    http: httpx2.Client
    log: TurnLog

    def new(self, **body: Any) -> str:
        """Create a conversation and return its id."""
        answer = self.http.post(f"{self.url}/v1/conversations", json=body).raise_for_status()
        return str(answer.json()["id"])

    def append(self, conversation: str, *items: Any, **body: Any) -> httpx2.Response:
        """Append items."""
        url = f"{self.url}/v1/conversations/{conversation}/items"
        return self.http.post(url, json={"items": items, **body})

    def append_text(self, conversation: str, *items: str) -> httpx2.Response:
        """Append items with exactly this JSON."""
        body = '{"items": [' + " ,\n".join(items) + "]}"
        url = f"{self.url}/v1/conversations/{conversation}/items"
        return self.http.post(url, content=body.encode()).raise_for_status()

    def items(self, conversation: str) -> list[dict[str, Any]]:
        """Return the items of the active branch, oldest first, at most a hundred."""
        url = f"{self.url}/v1/conversations/{conversation}/items"
        response = self.http.get(url, params={"order": "asc", "limit": 100}).raise_for_status()
        return list(response.json()["data"])

    def ids(self, conversation: str) -> list[str]:
        """Return the ids of the active branch, oldest first."""
        return [item["id"] for item in self.items(conversation)]

    def raws(self, conversation: str) -> list[str]:
        """Return the JSON of the items of a conversation, as exported."""
        lines = map(json.loads, export_lines(self.log, LOCAL_PROJECT))
        (exported,) = [line for line in lines if line["id"] == conversation]
        return [item["raw"] for item in exported["items"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("items"), port=0, log_level="warning")
    with (
        running(settings, "tests") as url,
        httpx2.Client() as http,
        closing(open_log(settings.data_dir)) as log,
    ):
        yield Server(url, http, log)


@pytest.fixture
def openai_client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def example(kind: Any) -> Any:
    """Return a minimal value of a type of the OpenAI client, without optional fields."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return {
            field.alias or name: example(field.annotation)
            for name, field in fields
            if field.is_required()
        }
    if origin in {Union, types.UnionType, Annotated}:
        return example(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [example(arguments[0])]
    if origin is dict:
        return {"key": example(arguments[1])}
    return {str: "text", int: 7, float: 0.5, bool: True}.get(kind, {})


def type_of(model: type[BaseModel]) -> str:
    return str(example(model)["type"])


@pytest.mark.parametrize("model", ITEM_TYPES, ids=type_of)
def test_every_item_type_of_openai_is_stored_and_returned(
    server: Server, openai_client: openai.OpenAI, model: type[BaseModel]
) -> None:
    links = {"call_id": "c1"} if "call_id" in model.model_fields else {}
    item = {**example(model), **links, "id": f"id-{type_of(model)}"}
    conversation = server.new()
    server.append(conversation, item).raise_for_status()
    (shown,) = openai_client.conversations.items.list(conversation)
    assert type(shown).__name__ == model.__name__
    model.model_validate(shown.to_dict())
    assert {key: shown.to_dict()[key] for key in item} == item
    assert [json.loads(raw) for raw in server.raws(conversation)] == [item]


def test_openai_has_about_thirty_item_types() -> None:
    assert len({type_of(model) for model in ITEM_TYPES}) == len(ITEM_TYPES) >= 29


@pytest.mark.parametrize("method", ["create", "list"])
def test_pages_of_items_match_openai_types(
    server: Server, openai_client: openai.OpenAI, method: str
) -> None:
    items: Any = [message("one"), chat_calls("c1"), function_call(), function_output()]
    extra = {"items": items} if method == "create" else {}
    raw = openai_client.conversations.items.with_raw_response
    answer = getattr(raw, method)(server.new(items=items), **extra)
    assert len(ConversationItemList.model_validate_json(answer.text).data) == 4


@pytest.mark.parametrize(
    "item",
    [
        pytest.param('{ "role" :"user",\n\t"content": "spaces" }', id="whitespace"),
        pytest.param(r'{"role":"user","content":"caf\u00e9 \/ \u0041 \t \ud83d\ude00"}', id="esc"),
        pytest.param('{"role":"user","content":"café 😀 \u2028\x7f"}', id="plain unicode"),
        pytest.param('{"content":"b","role":"user","a":1.0e0,"b":-0,"c":1E300}', id="order"),
        pytest.param('{"role":"user","content":"twice","content":"last wins"}', id="repeated"),
        pytest.param('{"role":"user","content":"n","big":123456789012345678901}', id="numbers"),
        pytest.param('{"role":"user","content":"","deep":[[[[{"a":[]}]]]]}', id="empty text"),
    ],
)
def test_item_is_stored_byte_for_byte(server: Server, item: str) -> None:
    conversation = server.new()
    server.append_text(conversation, item, item)
    assert server.raws(conversation) == [item, item]


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 3, "\t"]),
    separators=st.sampled_from([(",", ":"), (" , ", " :  "), (",\r\n", ":\t")]),
)
def test_any_json_spelling_is_stored_byte_for_byte(
    server: Server,
    texts: Sequence[str],
    *,
    ascii_only: bool,
    indent: int | str | None,
    separators: tuple[str, str],
) -> None:
    spelled = [
        json.dumps(message(text), ensure_ascii=ascii_only, indent=indent, separators=separators)
        for text in texts
    ]
    conversation = server.new()
    server.append_text(conversation, *spelled)
    assert server.raws(conversation) == spelled
    shown = [item["content"][0]["text"] for item in server.items(conversation)[: len(texts)]]
    assert shown == texts[:100]


def test_items_keep_append_order(server: Server) -> None:
    conversation = server.new(items=[message(id="z1"), message(id="a1")])
    server.append(conversation, message(id="m2"), message(id="b2"))
    shown = server.items(conversation)
    assert [item["id"] for item in shown] == ["z1", "a1", "m2", "b2"]
    assert [item["seq"] for item in shown] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given_time", "shown"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
    ],
)
def test_item_keeps_given_time(server: Server, given_time: float | str, shown: float) -> None:
    conversation = server.new(items=[message(created_at=given_time)])
    assert server.items(conversation)[0]["created_at"] == shown


def test_item_without_time_gets_current_time(server: Server) -> None:
    before = time.time()
    (shown,) = server.items(server.new(items=[message()]))
    assert before - 1 <= shown["created_at"] <= time.time() + 1


def test_item_keeps_name_and_metadata(server: Server) -> None:
    conversation = server.new(items=[message(name="Ann Lee", metadata={"mood": "calm"})])
    (shown,) = server.items(conversation)
    assert (shown["name"], shown["metadata"]) == ("Ann Lee", {"mood": "calm"})


def test_stored_as_overrides_fields_and_keeps_json(server: Server) -> None:
    item = message("as it was", id="inner", created_at="yesterday", name=7, metadata=[])
    fields = {"id": "outer", "created_at": 1_700_000_000, "name": "Bo", "metadata": {"a": "b"}}
    conversation = server.new()
    server.append(conversation, item, stored_as=[fields]).raise_for_status()
    (shown,) = server.items(conversation)
    assert {key: shown[key] for key in fields} == fields
    assert [json.loads(raw) for raw in server.raws(conversation)] == [item]


def test_thousand_items_in_one_request(server: Server) -> None:
    conversation = server.new()
    answer = server.append(conversation, *(message(f"turn {n}") for n in range(1_000)))
    assert len(answer.raise_for_status().json()["data"]) == 1_000
    assert len(server.raws(conversation)) == 1_000


@pytest.mark.parametrize("where", ["create", "append"])
def test_more_than_thousand_items_are_refused(server: Server, where: str) -> None:
    conversation, items = server.new(), [message()] * 1_001
    answer = (
        server.append(conversation, *items)
        if where == "append"
        else server.http.post(
            f"{server.url}/v1/conversations", json={"id": "never", "items": items}
        )
    )
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["param"], error["code"]) == ("items", "too_many_items")
    assert server.raws(conversation) == []
    assert server.http.get(f"{server.url}/v1/conversations/never").status_code == 404


def test_append_returns_number_of_new_items(server: Server) -> None:
    conversation = server.new(items=[message("one", id="new-1")])
    answer = server.append(conversation, message("one", id="new-1"), message("two", id="new-2"))
    assert answer.headers["x-memory-items-new"] == "1"
    assert int(answer.headers["x-memory-index-lag"]) >= 0


def test_get_item_by_id(server: Server, openai_client: openai.OpenAI) -> None:
    conversation = server.new(items=[message("here", id="get-1")])
    response = openai_client.conversations.items.retrieve("get-1", conversation_id=conversation)
    assert response.to_dict() == server.items(conversation)[0]


def test_include_is_accepted(server: Server, openai_client: openai.OpenAI) -> None:
    items, conversation = openai_client.conversations.items, server.new()
    include: Any = ["message.output_text.logprobs", "reasoning.encrypted_content"]
    items_to_create: Any = [message(id="inc-1")]
    assert items.create(conversation, items=items_to_create, include=include).data[0].id == "inc-1"
    assert items.list(conversation, include=include).data[0].id == "inc-1"
    assert items.retrieve("inc-1", conversation_id=conversation, include=include).id == "inc-1"


def test_delete_item_returns_conversation(server: Server, openai_client: openai.OpenAI) -> None:
    conversation = server.new(items=[message(id="del-1"), message(id="del-2")])
    answer = openai_client.conversations.items.delete("del-1", conversation_id=conversation)
    assert (answer.id, answer.object) == (conversation, "conversation")
    assert server.ids(conversation) == ["del-2"]
    with pytest.raises(openai.NotFoundError):
        openai_client.conversations.items.retrieve("del-1", conversation_id=conversation)


def test_append_after_deletion_of_newest_item(server: Server, openai_client: openai.OpenAI) -> None:
    conversation = server.new(items=[message(id="on-1"), message(id="on-2")])
    openai_client.conversations.items.delete("on-2", conversation_id=conversation)
    server.append(conversation, message(id="on-3"))
    shown = server.items(conversation)
    assert [(item["id"], item["seq"]) for item in shown] == [("on-1", 1), ("on-3", 3)]


RESPONSES_TOOL_GROUP = [
    function_call("c1"),
    function_call("c2"),
    *map(function_output, ("c1", "c2")),
]
CHAT_TOOL_GROUP = [chat_calls("c1", "c2"), chat_output("c1"), chat_output("c2")]


@pytest.mark.parametrize(
    ("tool_group", "number"),
    [
        *((RESPONSES_TOOL_GROUP, number) for number in range(4)),
        *((CHAT_TOOL_GROUP, number) for number in range(3)),
    ],
)
def test_delete_item_deletes_tool_group(
    server: Server, tool_group: list[dict[str, Any]], number: int
) -> None:
    conversation = server.new(items=[message("before"), *tool_group, message("after")])
    ids = server.ids(conversation)
    url = f"{server.url}/v1/conversations/{conversation}/items/{ids[1 + number]}"
    server.http.delete(url).raise_for_status()
    assert server.ids(conversation) == [ids[0], ids[-1]]


@pytest.fixture
def tree(server: Server) -> tuple[str, str]:
    """Return a conversation of items a, b, c and the prefix of their ids."""
    prefix = f"t{next(NUMBERS)}"
    return server.new(items=[message(name, id=f"{prefix}-{name}") for name in "abc"]), prefix


def short(server: Server, conversation: str) -> str:
    return "".join(name.rpartition("-")[2] for name in server.ids(conversation))


@pytest.mark.parametrize(
    ("parent", "active"), [("a", "ad"), ("b", "abd"), ("c", "abcd"), (None, "d")]
)
def test_parent_begins_active_branch(
    server: Server, tree: tuple[str, str], parent: str | None, active: str
) -> None:
    conversation, prefix = tree
    below = None if parent is None else f"{prefix}-{parent}"
    server.append(conversation, message("d", id=f"{prefix}-d"), parent=below).raise_for_status()
    assert short(server, conversation) == active
    assert len(server.raws(conversation)) == 4


def test_head_activates_branches(server: Server, tree: tuple[str, str]) -> None:
    conversation, prefix = tree
    server.append(conversation, message("d", id=f"{prefix}-d"), parent=f"{prefix}-a")
    for head, active in (("c", "abc"), ("d", "ad"), ("b", "ab"), ("a", "a"), ("d", "ad")):
        url = f"{server.url}/v1/conversations/{conversation}"
        server.http.post(url, json={"head": f"{prefix}-{head}"}).raise_for_status()
        assert short(server, conversation) == active


def test_append_extends_branch_of_head(server: Server, tree: tuple[str, str]) -> None:
    conversation, prefix = tree
    server.http.post(f"{server.url}/v1/conversations/{conversation}", json={"head": f"{prefix}-a"})
    server.append(conversation, message("d", id=f"{prefix}-d"), message("e", id=f"{prefix}-e"))
    assert short(server, conversation) == "ade"


def test_item_of_another_branch_can_be_read(
    server: Server, tree: tuple[str, str], openai_client: openai.OpenAI
) -> None:
    conversation, prefix = tree
    server.append(conversation, message("d"), parent=f"{prefix}-a")
    items = openai_client.conversations.items
    assert items.retrieve(f"{prefix}-c", conversation_id=conversation).id == f"{prefix}-c"


def test_delete_of_fork_keeps_both_branches(server: Server, tree: tuple[str, str]) -> None:
    conversation, prefix = tree
    server.append(conversation, message("d", id=f"{prefix}-d"), parent=f"{prefix}-b")
    url = f"{server.url}/v1/conversations/{conversation}"
    server.http.delete(f"{url}/items/{prefix}-b").raise_for_status()
    assert short(server, conversation) == "ad"
    server.http.post(url, json={"head": f"{prefix}-c"}).raise_for_status()
    assert short(server, conversation) == "ac"
