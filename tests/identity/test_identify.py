"""What decides who sent a request, where several sources name somebody."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.core.errors import Forbidden
from memory_service.identity.identify import Caller, Identity, identify

UUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"


def of(body: dict[str, Any] | None = None, **caller: Any) -> Identity:
    headers = caller.pop("headers", {})
    return identify(Caller(headers=headers, **caller), body or {})


HEADERS = {"x-conversation-id": "header", "x-user-id": "header", "x-openwebui-chat-id": "client"}
BODY: dict[str, Any] = {
    "metadata": {"conversation_id": "metadata", "session_id": "session"},
    "conversation": "body",
}


@pytest.mark.parametrize(
    ("without", "expected", "source"),
    [
        ([], "header", "x-conversation-id"),
        (["header"], "path", "path"),
        (["header", "path"], "metadata", "metadata.conversation_id"),
        (["header", "path", "metadata"], "body", "conversation.id"),
        (["header", "path", "metadata", "body"], "session", "metadata.session_id"),
        (["header", "path", "metadata", "body", "session"], "client", "x-openwebui-chat-id"),
    ],
)
def test_conversation_precedence(without: list[str], expected: str, source: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if value not in without}
    metadata = {name: value for name, value in BODY["metadata"].items() if value not in without}
    body = {"metadata": metadata, "conversation": None if "body" in without else {"id": "body"}}
    path = None if "path" in without else "path"
    identity = of(body, headers=headers, path_conversation=path)
    assert (identity.conversation_id, identity.conversation_source) == (expected, source)


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        (0, "header"),
        (1, "path"),
        (2, "user"),
        (3, "safety"),
        (4, "metadata"),
        (5, "client"),
        (6, "default"),
        (7, None),
    ],
)
def test_user_precedence(without: int, expected: str | None) -> None:
    names = ["header", "path", "user", "safety", "metadata", "client", "default"]
    left = {name: name for name in names[without:]}
    identity = of(
        {
            "user": left.get("user"),
            "safety_identifier": left.get("safety", ""),
            "metadata": {"user_id": left.get("metadata", "null")},
        },
        headers={
            "x-user-id": left.get("header", " "),
            "x-openwebui-user-id": left.get("client", "{{USER_ID}}"),
        },
        path_user=left.get("path"),
        default_user=left.get("default"),
    )
    assert identity.user == expected
    assert identity.is_default_user == (expected == "default")


def test_bound_key_overrules_what_clients_fill_in() -> None:
    identity = of({"user": "bob"}, headers={"x-openwebui-user-id": "bob"}, key_user="ann")
    assert (identity.user, identity.is_bound) == ("ann", True)


@pytest.mark.parametrize(
    "named", [{"headers": {"x-user-id": "bob"}}, {"path_user": "bob"}], ids=["header", "path"]
)
def test_bound_key_refuses_another_named_user(named: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        of(key_user="ann", **named)


@pytest.mark.parametrize("user", ["ann", " ann ", "null", ""])
def test_bound_key_accepts_its_own_user(user: str) -> None:
    assert of(key_user="ann", headers={"x-user-id": user}).user == "ann"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt_cache_key": UUID}, UUID),
        ({"prompt_cache_key": "my-assistant-v1"}, None),
        ({"prompt_cache_key": UUID, "user": UUID}, None),
        ({"prompt_cache_key": UUID, "conversation": "c"}, "c"),
    ],
)
def test_cache_key_is_a_conversation_if_it_was_made_for_one(
    body: dict[str, Any], expected: str | None
) -> None:
    assert of(body).conversation_id == expected


def test_previous_response_is_kept() -> None:
    assert of({"previous_response_id": "resp_1"}).previous_response_id == "resp_1"
    assert of({"previous_response_id": "null"}).previous_response_id is None


def test_nobody_is_named() -> None:
    assert of({"messages": [{"role": "user", "content": "hello"}]}) == Identity()


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": "text", "conversation": [], "messages": {"a": 1}, "user": {}},
        {"metadata": None, "messages": [7, {"role": "user"}, {"content": [7, {"text": 7}]}]},
        {"input": 7, "instructions": 7, "conversation": {"id": None}},
    ],
)
def test_malformed_bodies_name_nobody(body: dict[str, Any]) -> None:
    assert of(body) == Identity()
