"""Nothing that an application may say is refused: it is forwarded, and stored if possible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from memory_service.conversations.export import export_lines
from memory_service.core.models import Turn
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.storable_messages import storable_message
from memory_service.items.strict_json import storable_json
from memory_service.service import LOCAL_PROJECT
from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    gateway,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import serving

MAX_TEXT = 2_000
NUL, HALF_PAIR = "a\x00b", "x\ud83dy"
ODD_TEXTS = [NUL, HALF_PAIR, "\x00", "\udc00\ud800", "\ud83d"]
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ],
}


class AnyUpstream:
    """An upstream that takes any body, and the last body that it took."""

    address: str = ""
    content: bytes = b""

    @property
    def messages(self) -> Messages:
        """The messages of the last body."""
        return list(json.loads(self.content.decode("utf-8-sig"))["messages"])

    async def complete(self, request: Request) -> Response:
        """Answer with a fixed text."""
        self.content = await request.body()
        choice = {"index": 0, "message": assistant("fine")[0], "finish_reason": "stop"}
        return JSONResponse({"id": "c", "object": "chat.completion", "choices": [choice]})


@pytest.fixture(scope="module")
def upstream() -> Iterator[AnyUpstream]:
    upstream = AnyUpstream()
    routes = [Route("/v1/chat/completions", upstream.complete, methods=["POST"])]
    with serving(Starlette(routes=routes)) as address:
        upstream.address = address
        yield upstream


@pytest.fixture(scope="module")
def chat(
    tmp_path_factory: pytest.TempPathFactory, upstream: AnyUpstream
) -> Iterator[RunningGateway]:
    folder, base_url = tmp_path_factory.mktemp("acceptance"), f"{upstream.address}/v1"
    with gateway(
        folder,
        light=True,
        upstream_base_url=base_url,
        max_text_chars=MAX_TEXT,
        recall_timeout_seconds=60,
    ) as running:
        yield running


def tool_result(text: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call_1", "content": text, **fields}


def post(chat: RunningGateway, content: bytes, **headers: str) -> httpx2.Response:
    fields = {"content-type": "application/json", **headers}
    return chat.http.post("/v1/chat/completions", content=content, headers=fields)


def send(chat: RunningGateway, conversation: str, messages: Any, **body: Any) -> httpx2.Response:
    """Send a chat completion in a conversation, as ASCII."""
    content = json.dumps({"model": "m", "messages": messages, **body}).encode()
    return post(chat, content, **in_conversation(conversation))


def turns(chat: RunningGateway, conversation: str) -> list[Turn]:
    """Return the turns, after reading them in every way that a caller can."""
    chat.items(conversation)
    assert list(export_lines(chat.log, LOCAL_PROJECT))
    return chat.all_turns(conversation)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_nul_and_half_pairs_in_tool_result_are_forwarded_and_stored(
    chat: RunningGateway, upstream: AnyUpstream, text: str
) -> None:
    conversation = new_id()
    history = [*user("Run f."), CALL, tool_result(text)]
    answer = send(chat, conversation, history).raise_for_status()
    assert "x-memory-error" not in answer.headers
    assert upstream.messages[-1]["content"] == text
    stored = turns(chat, conversation)
    assert json.loads(stored[2].raw)["content"] == text
    expected = "".join("\ufffd" if sign in "\x00\ud83d\ud800\udc00" else sign for sign in text)
    assert stored[2].text == expected
    # The agent sends its history again: it is the same branch.
    reply = {"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]}
    send(chat, conversation, [*history, reply, *user("And?")])
    assert [turn.active for turn in turns(chat, conversation)] == [True] * 6


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_nul_and_half_pairs_in_any_message(
    chat: RunningGateway, upstream: AnyUpstream, role: str, text: str
) -> None:
    conversation = new_id()
    message = {"role": role, "content": text, "name": text}
    messages = [*user("a"), *assistant("b"), message, *assistant("c"), *user("d")]
    tools = [{"type": "function", "function": {"name": "f", "description": text}}]
    for _ in range(2):
        answer = send(chat, conversation, messages, tools=tools)
        assert (answer.status_code, answer.headers.get("x-memory-error")) == (200, None)
    assert text in [message["content"] for message in upstream.messages]
    assert json.loads(upstream.content)["tools"] == tools
    # Asking again adds an answer and no other turn.
    assert len(turns(chat, conversation)) == (6 if role == "system" else 7)


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "m","messages":[{"role":"tool","content":"a\\u0000b \\uD83d"}]}',
        b'\xef\xbb\xbf{"model": "m", "messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","temperature":NaN,"x":1e999,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","model":"n","messages":[1],"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":%s}'
        % (b"[" * 300 + b"]" * 300),
    ],
    ids=["escapes", "byte order mark", "numbers", "equal keys", "surrogate bytes", "deep"],
)
@pytest.mark.parametrize("headers", [{}, {"x-memory": "off", "x-user-id": "u"}])
def test_body_is_forwarded_byte_for_byte_without_memory(
    chat: RunningGateway, upstream: AnyUpstream, content: bytes, headers: dict[str, str]
) -> None:
    post(chat, content, **headers).raise_for_status()
    assert upstream.content == content


def test_members_that_memory_does_not_change_keep_their_bytes(
    chat: RunningGateway, upstream: AnyUpstream
) -> None:
    content = (
        b'\xef\xbb\xbf{ "temperature" : 0.10, "seed": 12345678901234567890, "x": [1e2, "\\u00e9"],'
        b'"messages":[{"role":"user","content":"hello \\ud83d"}], "conversation": "%s"}'
    )
    post(chat, content.replace(b"%s", new_id().encode())).raise_for_status()
    forwarded = upstream.content
    for exact in (b"0.10", b"12345678901234567890", b'[1e2, "\\u00e9"]', b"hello \\ud83d"):
        assert exact in forwarded
    assert b"conversation" not in forwarded


def test_number_that_is_no_json_does_not_reach_the_log(chat: RunningGateway) -> None:
    conversation = new_id()
    content = b'{"messages":[{"role":"user","content":"x","score":NaN,"long":%s}]}' % (b"9" * 5_000)
    post(chat, content, **in_conversation(conversation)).raise_for_status()
    expected = {"role": "user", "content": "x", "score": None, "long": None}
    assert json.loads(turns(chat, conversation)[0].raw) == expected


NULL: dict[str, Any] = {"role": "assistant", "content": None}


@pytest.mark.parametrize(
    "message",
    [
        NULL,
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": []},
        {"role": "user", "content": None},
        {"role": "user", "content": 7},
        {"role": "user", "content": ["a", 7, None]},
        {"role": "user", "content": {"type": "text", "text": "a"}},
        {"role": "user", "content": [{"text": "a"}, {"image_url": "a"}, {"type": 7}]},
        {"role": "user", "content": [{"type": "text", "text": ["a"]}, {"type": "strange"}]},
        {"role": "ipython", "content": "out"},
        {"role": "A role that nobody knows", "content": "out"},
        {"role": "user", "content": "a", "type": 7, "created_at": "yesterday", "metadata": [1]},
        {"role": "user", "content": "a", "type": "human", "name": "n" * 200},
        {"role": "user", "content": "a", "name": 7, "id": "local:1"},
        {"role": "assistant", "content": "a", "tool_calls": {"function": {"name": "f"}}},
        {"role": "assistant", "content": "a", "tool_calls": [7, {"id": 7}, {"id": "c" * 3_000}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "a", "tool_call_id": "c" * 3_000},
        {"role": "tool", "content": "a", "tool_call_id": 7},
        {"role": "tool", "content": "a"},
        {"role": "user", "content": "long " * MAX_TEXT},
    ],
    ids=lambda message: json.dumps(message)[:60],
)
def test_message_of_any_shape_is_stored_and_found_again(
    chat: RunningGateway, message: dict[str, Any]
) -> None:
    conversation = new_id()
    history = [*user("first"), message, *user("last")]
    for _ in range(2):
        answer = send(chat, conversation, history).raise_for_status()
        assert "x-memory-error" not in answer.headers
    stored = turns(chat, conversation)
    assert [turn.text for turn in stored[:1] + stored[2:3]] == ["first", "last"]
    assert len(stored) == 5
    assert len(stored[1].text) <= MAX_TEXT
    item = json.loads(stored[1].raw)
    parsed = parse_item(item, stored[1].raw, {}, ItemLimits(10**9, 999, lenient=True), "item")
    assert parsed.text.startswith(stored[1].text)
    assert parsed.content_hash == stored[1].content_hash


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "missing_field"),
        ({"a": 1}, "missing_field"),
        ([{"content": "hello"}], "invalid_type"),
        (["hello"], "invalid_type"),
        ([{"role": "user", "content": "a", "id": "t"}] * 2, "invalid_value"),
    ],
)
def test_request_that_memory_cannot_take_is_forwarded(
    chat: RunningGateway, messages: Any, code: str
) -> None:
    conversation = new_id()
    content = json.dumps({"model": "m", "messages": messages}).encode()
    answer = post(chat, content, **in_conversation(conversation)).raise_for_status()
    assert answer.headers["x-memory-error"] == code
    assert chat.all_turns(conversation) == []


def test_deep_nesting_is_remembered_or_forwarded_without_memory(
    chat: RunningGateway, upstream: AnyUpstream
) -> None:
    def schema(levels: int) -> dict[str, Any]:
        return {"type": "object"} if levels == 0 else {"properties": {"a": schema(levels - 1)}}

    conversation = new_id()
    arguments = "[" * 100_000 + "]" * 100_000
    call = {**CALL, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}
    deep = {"type": "json", "json": schema(100)}
    for levels, error in ((100, None), (124, None), (200, "nesting_too_deep")):
        tools = [{"type": "function", "function": {"name": "f", "parameters": schema(levels)}}]
        history = [*user("first"), call, {"role": "user", "content": [deep]}]
        answer = send(chat, conversation, history, tools=tools)
        assert (answer.status_code, answer.headers.get("x-memory-error")) == (200, error)
        assert json.loads(upstream.content)["tools"] == tools
    assert len(turns(chat, conversation)) == 5


def test_recall_that_is_strict_refuses_what_memory_cannot_take(tmp_path: Any) -> None:
    with gateway(tmp_path, light=True, strict_recall=True) as chat:
        answer = chat.send([], headers=in_conversation(new_id()))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "missing_field")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "function", "a"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
FIELDS = ("content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio")
MESSAGES = st.builds(
    lambda role, fields: {"role": role, **fields},
    st.sampled_from(["user", "assistant", "tool", "x"]) | st.text(max_size=20),
    st.dictionaries(st.sampled_from([*FIELDS, "id", "type", "created_at", "metadata"]), JSON),
)


@settings(deadline=None)
@given(MESSAGES)
def test_any_message_becomes_a_turn(message: dict[str, Any]) -> None:
    """A storable message is parsed without an error, and stays the same."""
    limits = ItemLimits(MAX_TEXT, 256, lenient=True)
    storable = storable_message(message)
    raw = storable_json(json.dumps(storable), storable)
    turn = parse_item(storable, raw, {}, limits, "item")
    turn.text.encode()
    turn.raw.encode()
    assert storable_message(storable) is storable
    assert parse_item(json.loads(raw), raw, {}, limits, "item").content_hash == turn.content_hash
