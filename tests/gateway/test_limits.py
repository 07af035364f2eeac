"""Generated chat completions are answered or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.chatting import RunningGateway, gateway, new_id

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "critic"])
FIELDS = (
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
    "id",
)
TEXTS = st.sampled_from(["hi", "yes", "", " "])
MESSAGES = st.builds(
    lambda role, text, odd: {"role": role, "content": text, **odd},
    ROLES,
    TEXTS,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2),
)
BODY_FIELDS = (
    *("conversation", "user", "metadata", "tools", "functions", "response_format", "stream"),
    *("max_tokens", "max_completion_tokens", "model", "n", "safety_identifier"),
)
BODIES = st.builds(
    lambda messages, odd: {"model": "m", "messages": messages, **odd},
    st.lists(MESSAGES | JSON, max_size=5),
    st.dictionaries(st.sampled_from(BODY_FIELDS), JSON, max_size=2),
)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway(tmp_path_factory.mktemp("limits"), light=True) as running:
        running.upstream.strict = False
        yield running


@settings(deadline=None)
@given(st.lists(BODIES, min_size=1, max_size=3))
def test_any_body_gets_a_valid_response(chat: RunningGateway, bodies: list[dict[str, Any]]) -> None:
    headers = {"x-conversation-id": new_id(), "content-type": "application/json"}
    for body in bodies:
        content = json.dumps(body)
        answer = chat.http.post("/v1/chat/completions", content=content, headers=headers)
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'"messages"', b"null"])
def test_body_that_is_not_an_object_is_refused(chat: RunningGateway, content: bytes) -> None:
    answer = chat.http.post("/v1/chat/completions", content=content)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
