"""Ids as clients send them: placeholders, temporary chats, ids of any form."""

from __future__ import annotations

from typing import Any

import pytest

from memory_service.identity.ids import (
    accepted_conversation_id,
    accepted_user_id,
    given,
    given_user,
    is_session_id,
    is_temporary,
)
from memory_service.items.fields import check_id, check_user_id


@pytest.mark.parametrize(
    "value",
    [
        *("", "  ", "null", "undefined", "None", "NaN", "[object Object]", None),
        *("{{CHAT_ID}}", "chat-{{CHAT_ID}}", "${USER_ID}", "{user_id}", "<your user id>", "$USER"),
        *("%USERNAME%", True, 1.5, ["a"], {"id": "a"}),
    ],
)
def test_placeholders_and_other_types_are_no_ids(value: Any) -> None:
    assert given(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((" ann ", "ann"), (7, "7"), ("default", "default"), ("0", "0"), ("nullable", "nullable")),
        *(("a{b}c", "a{b}c"), ("50%", "50%"), ("none@example.org", "none@example.org")),
    ],
)
def test_everything_else_is_an_id(value: Any, text: str) -> None:
    assert given(value) == text


@pytest.mark.parametrize("name", ["anonymous", "Anonymous", "unknown"])
def test_names_that_stand_for_everybody_are_no_users(name: str) -> None:
    assert given(name) == name
    assert given_user(name) is None


@pytest.mark.parametrize(
    ("conversation", "temporary"),
    [
        ("local:3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("temporary:3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("temp:7", True),
        ("channel:3f2504e0-4f89-11d3-9a0c-0305e82c3301", False),
        ("localhost", False),
        ("temporary", False),
    ],
)
def test_temporary_chats_have_a_prefix(conversation: str, *, temporary: bool) -> None:
    assert is_temporary(conversation) == temporary


@pytest.mark.parametrize(
    "conversation", ["agent:main:main", "channel:3f25", "ann@example.org", "v1.2", "a~b+c=", "-"]
)
def test_safe_ids_are_stored_as_they_are(conversation: str) -> None:
    assert accepted_conversation_id(conversation) == conversation


@pytest.mark.parametrize(
    "conversation",
    [
        "a b",
        "a/b",
        "../c",
        "..",
        ".",
        "ä",
        "小明",
        "x" * 129,
        "a\nb",
        "\ud800",
        "a%2Fb",
        "a?b",
        "a#b",
    ],
)
def test_other_ids_are_stored_under_a_stable_hash(conversation: str) -> None:
    stored = accepted_conversation_id(conversation)
    assert check_id(stored, "id") == stored == accepted_conversation_id(conversation)
    assert stored.startswith("id-")
    assert stored != accepted_conversation_id(f"{conversation}x")


@pytest.mark.parametrize("user", ["x" * 129, "a\nb", "..", "\ud800", "a\u2028b"])
def test_other_user_ids_are_stored_under_a_stable_hash(user: str) -> None:
    stored = accepted_user_id(user)
    assert check_user_id(stored, "user") == stored == accepted_user_id(user) != user


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("urn:uuid:3f2504e0-4f89-11d3-9a0c-0305e82c3301", True),
        ("ses_69d3a1ffeA2bC3dE4fG5hI6jK7", True),
        ("01J9ZK3V8Q4W5X6Y7Z8A9B0C1D", True),
        ("my-assistant-v1", False),
        ("langchain-rag-system-prompt-2026", False),
        ("session", False),
        ("chat_bot", False),
    ],
)
def test_session_ids_are_told_from_constants(text: str, *, expected: bool) -> None:
    assert is_session_id(text) == expected
