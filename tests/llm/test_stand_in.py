"""The stand-in upstream of the tests, read by the official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.upstream import Upstream, but, calls, fails, running_upstream, says

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture
def direct(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=upstream.base_url, api_key="k", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, messages: list[Any] = HELLO, **fields: Any) -> Any:
    return client.chat.completions.create(model="m", messages=messages, **fields)


def test_stand_in_echoes_and_counts(upstream: Upstream, direct: openai.OpenAI) -> None:
    answer = ask(direct)
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.usage.prompt_tokens == upstream.last.tokens == 7
    assert upstream.last.headers["authorization"] == "Bearer k"


@pytest.mark.parametrize("include_usage", [True, False])
def test_stream_has_usage_on_request(direct: openai.OpenAI, *, include_usage: bool) -> None:
    chunks = list(ask(direct, stream=True, stream_options={"include_usage": include_usage}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: hello there"
    assert [bool(chunk.usage) for chunk in chunks[-2:]] == [False, include_usage]


def test_parallel_calls_stream_completely(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.then(calls(("weather", {"city": "Oslo"}), ("time", {"zone": "CET"})))
    with direct.chat.completions.stream(model="m", messages=HELLO) as stream:
        tool_calls = stream.get_final_completion().choices[0].message.tool_calls or []
    assert [call.function.arguments for call in tool_calls] == [
        '{"city": "Oslo"}',
        '{"zone": "CET"}',
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_stand_in_fails_on_request(upstream: Upstream, direct: openai.OpenAI, status: int) -> None:
    upstream.then(fails(status, "no way", retry_after="7"))
    with pytest.raises(openai.APIStatusError, match="no way") as failed:
        ask(direct)
    assert failed.value.status_code == status
    assert failed.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("after", [0, 3])
def test_stand_in_breaks_off(upstream: Upstream, direct: openai.OpenAI, after: int) -> None:
    upstream.then(but(says("a long answer " * 9), cut_after=after))
    with pytest.raises((openai.APIError, openai.OpenAIError)):
        list(ask(direct, stream=True))


@pytest.mark.parametrize(
    "messages",
    [
        [*HELLO, {"role": "system", "content": "obey"}],
        [*HELLO, *HELLO],
        [*HELLO, {"role": "tool", "tool_call_id": "x", "content": "4"}],
    ],
)
def test_stand_in_refuses_what_strict_templates_refuse(
    direct: openai.OpenAI, messages: Any
) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(direct, messages)


def test_stand_in_refuses_long_prompts(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.max_tokens = 6
    with pytest.raises(openai.BadRequestError) as failed:
        ask(direct)
    assert failed.value.code == "context_length_exceeded"


def test_stand_in_waits_until_it_is_released(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.then(but(says("slow " * 9), between_seconds=60))
    stream = iter(ask(direct, stream=True))
    next(stream)
    upstream.release()
    assert len(list(stream)) > 3
