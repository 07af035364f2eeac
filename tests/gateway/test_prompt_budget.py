"""Prompts fit the budget, as the upstream counts it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chatting import (
    RunningGateway,
    assistant,
    in_conversation,
    new_id,
    user,
)
from tests.support.upstream import Upstream, but, echo, fails, says


def test_long_new_history_is_stored_and_cut_to_budget(chat: RunningGateway) -> None:
    conversation = new_id()
    pairs = [(f"the colour of box {n} is {n * 7}", f"noted {n}") for n in range(200)]
    messages = [part for text, reply in pairs for part in user(text) + assistant(reply)]
    budget = {"x-memory-token-budget": "1500"}
    answer = chat.send([*messages, *user("now?")], headers=in_conversation(conversation, **budget))
    assert answer.raise_for_status().headers["x-conversation-id"] == conversation
    assert chat.turn_count(conversation) == 402
    assert chat.upstream.last.tokens <= 1500
    before, after = (int(answer.headers[f"x-memory-tokens-{end}"]) for end in ("before", "after"))
    assert after < 1500 < before


def test_message_larger_than_budget_is_refused_and_not_stored(chat: RunningGateway) -> None:
    conversation = new_id()
    headers = in_conversation(conversation, **{"x-memory-token-budget": "100"})
    answer = chat.send("word " * 500, headers=headers)
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert (chat.turn_count(conversation), chat.upstream.requests) == (0, [])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_is_reserved_for_answer(chat: RunningGateway, field: str) -> None:
    conversation = new_id()
    messages = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    headers = in_conversation(conversation, **{"x-memory-token-budget": "2000"})
    chat.send([*messages, *user("now?")], headers=headers, **{field: 1500}).raise_for_status()
    assert chat.upstream.last.tokens <= 500
    assert chat.upstream.last.body[field] == 1500


@pytest.mark.parametrize("has_limit", [True, False])
def test_prompt_refused_as_too_long_is_shrunk_once(
    chat: RunningGateway, *, has_limit: bool
) -> None:
    conversation = new_id()
    messages = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    chat.send([*messages, *user("first")], headers=in_conversation(conversation)).raise_for_status()
    tokens = chat.upstream.last.tokens
    if has_limit:
        chat.upstream.max_tokens = tokens - 20
    else:
        chat.upstream.then(fails(400, "the request exceeds the available context size"))
    chat.upstream.then(says("fine"))
    answer = chat.send("second", headers=in_conversation(conversation), model=new_id())
    assert answer.status_code == 200
    assert chat.upstream.requests[-1].tokens < chat.upstream.requests[-2].tokens
    assert chat.texts(conversation)[-2:] == ["second", "fine"]


def test_second_refusal_as_too_long_is_relayed(chat: RunningGateway) -> None:
    chat.upstream.max_tokens = 1
    answer = chat.send("hello", headers=in_conversation(new_id()))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert len(chat.upstream.requests) <= 2


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -5}, {"prompt_tokens": "many"}, {"prompt_tokens": 10**9}, {}, 7]
)
def test_implausible_usage_is_ignored(chat: RunningGateway, upstream: Upstream, usage: Any) -> None:
    conversation, model = new_id(), new_id()
    messages = [part for n in range(30) for part in user(f"box {n} " * 9) + assistant("ok")]
    budget = in_conversation(conversation, **{"x-memory-token-budget": "2000"})
    upstream.then(but(says("fine"), usage=usage))
    chat.send([*messages, *user("first")], headers=budget, model=model).raise_for_status()
    answer = chat.send("second", headers=budget, model=model).raise_for_status()
    assert 400 <= int(answer.headers["x-memory-tokens-after"]) <= 2000


def test_usage_corrects_next_prompt(chat: RunningGateway, upstream: Upstream) -> None:
    conversation, model = new_id(), new_id()
    messages = [part for n in range(60) for part in user(f"box {n} " * 60) + assistant("ok")]
    budget = in_conversation(conversation, **{"x-memory-token-budget": "2000"})
    upstream.then(but(echo, usage={"prompt_tokens": 9_000}))
    chat.send([*messages, *user("first")], headers=budget, model=model).raise_for_status()
    before = upstream.last.tokens
    chat.send("second", headers=budget, model=model).raise_for_status()
    assert upstream.last.tokens < 0.7 * before
