"""Context windows are learned from the upstream, and prompts fit them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from memory_service.upstreams.token_corrections import MARGIN
from tests.support.chatting import (
    Messages,
    RunningGateway,
    assistant,
    gateway,
    in_conversation,
    new_id,
    user,
)
from tests.support.storing import eventually
from tests.support.upstream import Behaviour, Body, Reply, but, echo, fails, raw, says, too_long


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("windows")
    windows = '{"set-*": 600}'
    with gateway(folder, light=True, context_windows=windows, recall_timeout_seconds=60) as running:
        yield running


def history() -> Messages:
    """Return a conversation whose prompts have more than 2,000 tokens."""
    return [part for n in range(30) for part in user(f"box {n} " * 100) + assistant("ok")]


def window_of(chat: RunningGateway, model: str) -> tuple[int, str] | None:
    """Return the learned window of a model that was asked, as /readyz shows it."""
    windows = chat.http.get("/readyz").json().get("context_windows", [])
    return next(((w["tokens"], w["source"]) for w in windows if w["model"] == model), None)


def limited(limit: int, refuse: Behaviour | None = None) -> Behaviour:
    """Answer as a server with a context window does."""

    def behave(body: Body) -> Reply:
        tokens = len(json.dumps(body["messages"])) // 4
        if tokens <= limit:
            return but(echo, usage={"prompt_tokens": tokens})(body)
        return too_long(limit, tokens) if refuse is None else refuse(body)

    return behave


@pytest.fixture
def answering(chat: RunningGateway) -> Iterator[RunningGateway]:
    """Return the service; the upstream's answer is set by the test."""
    yield chat
    chat.upstream.answer = echo


def test_after_one_refusal_no_prompt_is_refused(answering: RunningGateway) -> None:
    chat, model = answering, new_id()
    chat.upstream.answer = limited(1_000)
    first = chat.send([*history(), *user("first")], headers=in_conversation(new_id()), model=model)
    assert (first.status_code, len(chat.upstream.requests)) == (200, 2)
    assert window_of(chat, model) == (1_000, "refusal")
    conversation = new_id()
    for number in range(4):
        sent = [*history(), *user("second")] if number == 0 else user(f"more {number} " * 30)
        chat.send(sent, headers=in_conversation(conversation), model=model).raise_for_status()
    assert len(chat.upstream.requests) == 2 + 4


REFUSALS: dict[str, Behaviour] = {
    "without counts": fails(400, "Please reduce the length of the messages or completion."),
    "limit only": fails(400, "Range of input length should be [1, 1000]"),
    "excess only": fails(400, "prompt too long; exceeded max context length by 2000 tokens"),
    "status 413": fails(413, "prompt is too long: 3000 tokens > 1000 maximum"),
    "status 422": fails(422, "`inputs` must have less than 1000 tokens. Given: 3000"),
    "status 500": fails(500, "Requested tokens (3000) exceed context window of 1000"),
    "status 503": fails(503, "the request exceeds the available context size"),
    "array": raw(
        b'[{"error": {"message": "The input token count (3000) exceeds the maximum number of '
        b'tokens allowed (1000).", "status": "INVALID_ARGUMENT"}}]',
        400,
    ),
    "body with status 200": raw(b'{"error": {"message": "context size exceeded", "n_ctx": 1000}}'),
}


@pytest.mark.parametrize("kind", list(REFUSALS))
def test_refused_prompt_is_sent_again_shorter(answering: RunningGateway, kind: str) -> None:
    chat, model, conversation = answering, new_id(), new_id()
    chat.upstream.then(REFUSALS[kind], says("fine"))
    answer = chat.send(
        [*history(), *user("now?")], headers=in_conversation(conversation), model=model
    )
    assert answer.status_code == 200, answer.text
    before, after = chat.upstream.requests
    assert after.tokens < before.tokens
    assert chat.all_texts(conversation)[-2:] == ["now?", "fine"]
    assert window_of(chat, model) is not None


EVENT_ERROR = b'data: {"error": {"message": "context size exceeded", "n_ctx": 1000}}\n\n'


def test_stream_that_begins_with_refusal_is_replaced(answering: RunningGateway) -> None:
    chat, model, conversation = answering, new_id(), new_id()
    chat.upstream.then(raw(EVENT_ERROR, content_type="text/event-stream"), says("fine"))
    answer = chat.send(
        [*history(), *user("now?")],
        headers=in_conversation(conversation),
        model=model,
        stream=True,
    )
    assert "n_ctx" not in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    chat.wait_for(conversation, 62)
    assert chat.all_texts(conversation)[-2:] == ["now?", "fine"]
    assert window_of(chat, model) == (1_000, "refusal")


@pytest.mark.parametrize("second", [fails(400, "no"), raw(EVENT_ERROR)])
def test_error_of_stream_is_passed_on_if_nothing_replaces_it(
    answering: RunningGateway, second: Behaviour
) -> None:
    chat = answering
    chat.upstream.then(raw(EVENT_ERROR, content_type="text/event-stream"), second)
    headers = in_conversation(new_id())
    answer = chat.send([*history(), *user("now?")], headers=headers, model=new_id(), stream=True)
    assert (answer.status_code, answer.content) == (200, EVENT_ERROR)


def test_refusal_of_request_without_memory_is_learned_and_relayed(
    answering: RunningGateway,
) -> None:
    chat, model = answering, new_id()
    chat.upstream.then(lambda _: too_long(700, 900))
    assert chat.send("hello", model=model).status_code == 400
    assert len(chat.upstream.requests) == 1
    chat.send("hello", headers=in_conversation(new_id()), model=model).raise_for_status()
    assert window_of(chat, model) == (700, "refusal")


@pytest.mark.parametrize("limit", [10, 10**9])
def test_implausible_limit_is_not_learned(answering: RunningGateway, limit: int) -> None:
    chat, model = answering, new_id()
    chat.upstream.then(lambda _: too_long(limit, 2 * limit))
    headers = in_conversation(new_id())
    answer = chat.send([*history(), *user("now?")], headers=headers, model=model)
    assert (answer.status_code, len(chat.upstream.requests)) == (400, 1)
    assert window_of(chat, model) is None


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_allowed_answer_larger_than_assumed_window_is_forwarded(
    answering: RunningGateway, field: str
) -> None:
    chat = answering
    sent: dict[str, Any] = {field: 131_072}
    answer = chat.send("hello", headers=in_conversation(new_id()), model=new_id(), **sent)
    assert answer.status_code == 200
    assert chat.upstream.last.body[field] == 131_072


def test_input_larger_than_assumed_window_is_forwarded(answering: RunningGateway) -> None:
    chat, model = answering, new_id()
    chat.upstream.then(lambda _: too_long(500, 900))
    chat.send("hello", model=model)
    answer = chat.send("word " * 800, headers=in_conversation(new_id()), model=model)
    assert answer.status_code == 200
    assert len(chat.upstream.requests) == 2


def test_input_larger_than_set_window_is_refused(answering: RunningGateway) -> None:
    chat = answering
    answer = chat.send("word " * 800, headers=in_conversation(new_id()), model="set-1")
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert chat.upstream.requests == []


def cutting(tokens: int) -> Behaviour:
    """Answer as a server that cuts prompts silently."""
    return but(echo, usage={"prompt_tokens": tokens, "completion_tokens": 1})


def test_silently_cut_prompt_is_reported_and_next_ones_fit(answering: RunningGateway) -> None:
    chat, model, conversation = answering, new_id(), new_id()
    headers = in_conversation(conversation)
    chat.upstream.answer = cutting(1_024)
    answer = chat.send([*history(), *user("word " * 2_500)], headers=headers, model=model)
    sent = int(answer.headers["x-memory-tokens-after"])
    assert sent > 1_800
    assert answer.headers["x-memory-warning"] == "prompt_cut_by_upstream"
    assert window_of(chat, model) == (1_024, "usage")
    chat.upstream.answer = echo
    answer = chat.send("now?", headers=in_conversation(new_id()), model=model).raise_for_status()
    assert "x-memory-warning" not in answer.headers
    # Nothing was learned about the count: 20 tokens stay 20 tokens.
    assert int(answer.headers["x-memory-tokens-after"]) < 20 * (1 + MARGIN)


def test_cut_prompt_of_stream_is_reported_with_next_answer(answering: RunningGateway) -> None:
    chat, model = answering, new_id()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chat.upstream.then(cutting(1_024))
    first = chat.send(
        "word " * 2_500, headers=in_conversation(new_id()), model=model, **options
    ).raise_for_status()
    assert "x-memory-warning" not in first.headers
    eventually(lambda: window_of(chat, model) == (1_024, "usage"))
    warnings = [
        chat.send("now?", headers=in_conversation(new_id()), model=model).headers.get(
            "x-memory-warning"
        )
        for _ in range(2)
    ]
    assert warnings == ["prompt_cut_by_upstream", None]


def test_media_teach_no_correction(answering: RunningGateway) -> None:
    chat, model = answering, new_id()
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    message = {"role": "user", "content": [{"type": "text", "text": "see " * 300}, image]}
    chat.upstream.then(cutting(60_000))
    chat.send([message], headers=in_conversation(new_id()), model=model).raise_for_status()
    answer = chat.send("word " * 300, headers=in_conversation(new_id()), model=model)
    assert int(answer.headers["x-memory-tokens-after"]) < 400


def test_models_list_shows_windows(answering: RunningGateway) -> None:
    models = answering.http.get("/v1/models").raise_for_status().json()
    assert models["data"][0] == {
        "id": "stand-in",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "tests",
        "memory": {"context_window": 128_000, "source": "default"},
    }
