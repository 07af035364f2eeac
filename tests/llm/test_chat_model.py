"""Chat models: the contract of the real one and of the fake, and failures of the real one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memory_service.core.errors import ChatModelDown, ChatModelRefused
from memory_service.core.models import ModelAnswer
from memory_service.core.protocols import ChatModel
from memory_service.llm.chat_model import THINKING_TOKENS, OpenAIChatModel
from memory_service.llm.endpoint import endpoint_of
from memory_service.testing import RepeatingModel
from tests.support import upstream as upstreams
from tests.support.storing import eventually
from tests.support.upstream import Upstream, running_upstream

MESSAGES = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "the red walrus"},
]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Return the stand-in of a model's server."""
    with running_upstream() as running:
        yield running


@pytest.fixture
def model(upstream: Upstream) -> Iterator[OpenAIChatModel]:
    """Return the real model, without waits between tries."""
    opened = open_model(upstream)
    yield opened
    opened.close()


@pytest.fixture(params=["openai", "repeating"])
def any_model(request: pytest.FixtureRequest) -> Iterator[ChatModel]:
    """Return each model in turn."""
    if request.param == "repeating":
        yield RepeatingModel()
    else:
        yield request.getfixturevalue("model")


def open_model(upstream: Upstream, **fields: Any) -> OpenAIChatModel:
    options = {"api_key": "secret", "timeout_seconds": 30, "pause": lambda _: None, **fields}
    return OpenAIChatModel(endpoint_of(upstream.base_url, setting="tests"), **options)


def ask(chat_model: ChatModel, model: str = "stand-in", max_tokens: int = 50) -> ModelAnswer:
    return chat_model.answer(MESSAGES, model=model, max_tokens=max_tokens)


# Contract of all models.


def test_answer_is_text_and_complete(any_model: ChatModel) -> None:
    answer = ask(any_model)
    assert answer.is_whole
    assert "the red walrus" in answer.text
    assert answer.text == answer.text.strip()


def test_one_model_answers_several_threads(any_model: ChatModel) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(any_model), range(8)))
    assert {answer.text for answer in answers} == {ask(any_model).text}


def test_closed_model_is_down(any_model: ChatModel) -> None:
    any_model.close()
    with pytest.raises(ChatModelDown, match="closed"):
        ask(any_model)


def test_truncated_answer_is_not_whole(upstream: Upstream) -> None:
    upstream.then(upstreams.but(upstreams.says("the red"), finish_reason="length"))
    real = open_model(upstream)
    for model in (real, RepeatingModel()):
        assert not ask(model, max_tokens=2).is_whole
    real.close()


def test_fake_fails_the_requested_number_of_times() -> None:
    model = RepeatingModel(failures=2)
    for _ in range(2):
        with pytest.raises(ChatModelDown):
            ask(model)
    assert ask(model).is_whole


# Requests.


def test_request_has_prompt_model_limit_and_key(upstream: Upstream, model: OpenAIChatModel) -> None:
    ask(model)
    sent = upstream.last
    assert sent.headers["authorization"] == "Bearer secret"
    assert sent.body == {"messages": MESSAGES, "model": "stand-in", "max_tokens": 50}


def test_model_that_refuses_max_tokens_gets_the_newer_limit(
    upstream: Upstream, model: OpenAIChatModel
) -> None:
    refusal = {"error": {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}}
    upstream.then(upstreams.but(upstreams.fails(400), body=refusal))
    assert ask(model, model="thinker").is_whole
    ask(model, model="thinker")
    newer = ("max_completion_tokens", 50 + THINKING_TOKENS)
    assert [list(request.body.items())[-1] for request in upstream.requests] == [
        ("max_tokens", 50),
        newer,
        newer,
    ]


def test_unreachable_server_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    model = OpenAIChatModel(
        endpoint_of(f"http://127.0.0.1:{port}/v1", setting="tests"),
        api_key=None,
        timeout_seconds=5,
        pause=lambda _: None,
    )
    with pytest.raises(ChatModelDown, match="cannot be reached"):
        ask(model)
    model.close()


# Temporary failures.


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503])
def test_temporary_failure_is_retried(
    upstream: Upstream, model: OpenAIChatModel, status: int
) -> None:
    upstream.then(upstreams.fails(status), upstreams.says("at last"))
    assert ask(model).text == "at last"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (upstreams.fails(503, code="overloaded"), r"answered 503 \(overloaded\)"),
        (upstreams.raw(b"<html>"), "something else than an answer"),
        (upstreams.raw(b'{"choices": []}'), "something else than an answer"),
    ],
)
def test_three_tries_and_their_waits(
    upstream: Upstream, model: OpenAIChatModel, behaviour: upstreams.Behaviour, expected: str
) -> None:
    upstream.then(*[behaviour] * 3)
    with pytest.raises(ChatModelDown, match=expected):
        ask(model)
    assert len(upstream.requests) == 3


def test_timeout_is_down(upstream: Upstream) -> None:
    upstream.then(*[upstreams.but(upstreams.echo, first_byte_seconds=60)] * 3)
    model = open_model(upstream, timeout_seconds=0.05)
    with pytest.raises(ChatModelDown, match=r"did not answer within 0\.05 s"):
        ask(model)
    model.close()


def test_server_that_asks_for_a_long_wait_is_not_asked_again(
    upstream: Upstream, model: OpenAIChatModel
) -> None:
    upstream.then(upstreams.fails(429, retry_after="60"))
    with pytest.raises(ChatModelDown) as caught:
        ask(model)
    assert (caught.value.retry_after_seconds, len(upstream.requests)) == (60, 1)


def test_close_ends_a_wait(upstream: Upstream) -> None:
    upstream.then(upstreams.fails(503, retry_after="9"))
    model = open_model(upstream, pause=None)
    with ThreadPoolExecutor() as threads:
        future = threads.submit(ask, model)
        eventually(lambda: len(upstream.requests) == 1)
        model.close()
        assert isinstance(future.exception(timeout=5), ChatModelDown)


# Permanent failures.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_refusal_is_not_retried(upstream: Upstream, model: OpenAIChatModel, status: int) -> None:
    upstream.then(upstreams.fails(status, code="some_code"))
    with pytest.raises(ChatModelRefused, match=rf"answered {status} \(some_code\)"):
        ask(model)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("message", "reason", "expected"),
    [
        ({"content": ""}, "stop", "it is empty"),
        ({"content": " \n"}, "length", "it reached its limit"),
        ({"content": None, "refusal": "I cannot"}, "stop", "it refused"),
        ({"content": None}, "content_filter", "it refused"),
    ],
)
def test_empty_answer_is_a_refusal(
    upstream: Upstream, model: OpenAIChatModel, message: dict[str, Any], reason: str, expected: str
) -> None:
    says = upstreams.says({"role": "assistant", **message})
    upstream.then(upstreams.but(says, finish_reason=reason))
    with pytest.raises(ChatModelRefused, match=expected):
        ask(model)


def test_errors_do_not_contain_the_request(upstream: Upstream, model: OpenAIChatModel) -> None:
    upstream.then(upstreams.fails(400, "the red walrus is not allowed", code="the red walrus"))
    with pytest.raises(ChatModelRefused) as caught:
        ask(model)
    assert "walrus" not in caught.value.message
