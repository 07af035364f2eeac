"""The stand-in upstream of the tests, read by the official client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.upstream import (
    REFUSALS,
    Upstream,
    but,
    calls,
    fails,
    raw,
    running_upstream,
    says,
    speaks,
    thinks,
)

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


@pytest.mark.parametrize("family", REFUSALS)
def test_stand_in_refuses_like_family(
    upstream: Upstream, direct: openai.OpenAI, family: str
) -> None:
    upstream.max_tokens, upstream.refuse = 6, REFUSALS[family]
    with pytest.raises(openai.APIStatusError) as failed:
        ask(direct, max_tokens=2)
    assert failed.value.status_code in {400, 413, 422}
    assert upstream.refused
    upstream.max_tokens = 9
    ask(direct, max_tokens=2)


def test_stand_in_cuts_silently(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.cuts_at = 20
    long: list[Any] = [{"role": "user", "content": "word " * 90}]
    assert [ask(direct, messages).usage.prompt_tokens for messages in (HELLO, long)] == [7, 20]


def test_stand_in_takes_only_strings(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.strings_only = True
    ask(direct)
    parts: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    with pytest.raises(openai.UnprocessableEntityError):
        ask(direct, parts)


@pytest.mark.parametrize("stream", [True, False])
def test_stand_in_requires_its_fields_back(
    upstream: Upstream, direct: openai.OpenAI, *, stream: bool
) -> None:
    upstream.signs = True
    upstream.then(calls(("look_up", {"page": 7}), content="Hm"))
    if stream:
        with direct.chat.completions.stream(model="m", messages=HELLO) as events:
            answer = events.get_final_completion().choices[0].message
    else:
        answer = ask(direct).choices[0].message
    sent: dict[str, Any] = answer.to_dict()
    sent.pop("parsed", None)
    result = {"role": "tool", "tool_call_id": sent["tool_calls"][0]["id"], "content": "4"}
    ask(direct, [*HELLO, sent, result])
    del sent["tool_calls"][0]["extra_content"]
    with pytest.raises(openai.BadRequestError, match="thought_signature"):
        ask(direct, [*HELLO, sent, result])


@pytest.mark.parametrize("call_index", ["absent", "zero"])
def test_stand_in_marks_calls_in_other_ways(
    upstream: Upstream, direct: openai.OpenAI, call_index: str
) -> None:
    two = calls(("look_up", {"page": 7}), ("look_up", {"page": 8}))
    upstream.then(but(two, call_index=call_index))
    pieces = [
        piece.to_dict()
        for chunk in ask(direct, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or ()
    ]
    assert {piece.get("index") for piece in pieces} == {None if call_index == "absent" else 0}
    assert len({piece["id"] for piece in pieces}) == 2


def test_stand_in_ends_stream_with_error(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.then(but(says("one two three"), error_after=2, chunk_chars=4))
    with pytest.raises(openai.APIError, match="out of memory"):
        list(ask(direct, stream=True))


def test_stand_in_speaks_and_thinks(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.then(speaks("It is noon."), speaks("It is noon."), thinks("Hm.", "Noon."))
    assert ask(direct).choices[0].message.audio.transcript == "It is noon."
    deltas = [chunk.choices[0].delta.to_dict() for chunk in ask(direct, stream=True)]
    audio = [delta["audio"] for delta in deltas if "audio" in delta]
    assert "".join(piece.get("transcript", "") for piece in audio) == "It is noon."
    assert ask(direct).choices[0].message.content == "<think>\nHm.\n</think>\n\nNoon."


@pytest.mark.parametrize("stream", [True, False])
def test_stand_in_compresses(upstream: Upstream, direct: openai.OpenAI, *, stream: bool) -> None:
    upstream.then(but(says("small"), gzip=True))
    answer = ask(direct, stream=stream)
    texts = (
        [chunk.choices[0].delta.content or "" for chunk in answer]
        if stream
        else [answer.choices[0].message.content]
    )
    assert "".join(texts) == "small"


def test_stand_in_spells_event_streams_in_another_case(
    upstream: Upstream, direct: openai.OpenAI
) -> None:
    upstream.then(but(says("hello"), media_type="Text/Event-Stream"))
    response = direct.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, stream=True
    )
    assert response.headers["content-type"] == "Text/Event-Stream"
    assert b"[DONE]" in response.http_response.read()


def test_stand_in_is_reset(upstream: Upstream, direct: openai.OpenAI) -> None:
    upstream.max_tokens, upstream.model_fields = 1, {"context_length": 4_096}
    upstream.then(raw(b"{}"))
    assert json.loads(direct.models.list().to_json())["data"][0]["context_length"] == 4_096
    upstream.reset()
    assert ask(direct).choices[0].message.content == "You said: hello there"
    assert len(upstream.requests) == 1
