"""Which upstream serves a model, and which models are listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TypeVar

import pytest
from starlette.responses import JSONResponse, Response

from memory_service.core.errors import InvalidRequest, NoUpstream, UpstreamDown
from memory_service.core.models import NO_CALLER_KEY, CallerKey
from memory_service.llm.endpoint import endpoint_of
from memory_service.llm.upstream import HttpUpstream, UpstreamClient
from memory_service.upstreams.table import MergedModels, TableEntry, UpstreamTable
from tests.support.recording_upstream import RecordingUpstream, recording_upstream
from tests.support.recording_upstream import lists as listing

T = TypeVar("T")

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def servers() -> Iterator[Sequence[RecordingUpstream]]:
    """Return two running upstreams."""
    with ExitStack() as stack:
        yield [stack.enter_context(recording_upstream()) for _ in range(2)]


def table(
    default: str | None = None, **entries: Sequence[str] | tuple[str, Sequence[str]]
) -> UpstreamTable:
    """Return a table of upstreams: each entry has its models, with or without an address."""
    client = UpstreamClient(30)

    def upstream(name: str | None, address: str) -> HttpUpstream:
        endpoint = endpoint_of(f"{address}/v1", setting="tests", name=name)
        return HttpUpstream(endpoint, client, api_key=None, instance_id="i")

    rows = []
    for name, entry in entries.items():
        address, models = entry if isinstance(entry, tuple) else (NOWHERE, entry)
        rows.append(TableEntry(upstream(name, address), models))
    return UpstreamTable(None if default is None else upstream(None, default), rows)


@pytest.fixture(scope="module")
def named() -> UpstreamTable:
    """Return a table whose upstreams are not asked."""
    return table(
        NOWHERE,
        openai=["gpt-*", "o4", "both"],
        anthropic=["claude-*", "both", "local/special", "*[model]"],
        local=["none"],
    )


def ask(upstreams: UpstreamTable, question: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of a coroutine, and close the connections in its event loop."""

    async def asked() -> T:
        try:
            return await question()
        finally:
            await upstreams.close()

    return asyncio.run(asked())


def route(upstreams: UpstreamTable, model: str | None) -> tuple[str, str]:
    """Return the name of the upstream and the model's name there."""
    chosen = ask(upstreams, lambda: upstreams.route(model))
    return (chosen.upstream.name, chosen.model or "")


def models_of(upstreams: UpstreamTable) -> MergedModels:
    return ask(upstreams, lambda: upstreams.models(NO_CALLER_KEY, {}))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5", ("openai", "gpt-5")),
        ("gpt-5/x", ("openai", "gpt-5/x")),
        ("claude-opus", ("anthropic", "claude-opus")),
        ("o4", ("openai", "o4")),
        # The first entry that matches.
        ("both", ("openai", "both")),
        # An entry's name before the model's.
        ("anthropic/gpt-5", ("anthropic", "gpt-5")),
        ("local/llama3.2:latest", ("local", "llama3.2:latest")),
        # A full name that matches takes precedence.
        ("local/special", ("anthropic", "local/special")),
        ("local/", (f"{NOWHERE}/v1", "local/")),
        ("unknown/gpt-5", (f"{NOWHERE}/v1", "unknown/gpt-5")),
        ("o44", (f"{NOWHERE}/v1", "o44")),
        ("GPT-5", (f"{NOWHERE}/v1", "GPT-5")),
        ("a-odd[model]", ("anthropic", "a-odd[model]")),
        (None, (f"{NOWHERE}/v1", "")),
    ],
)
def test_upstream_of_a_model_by_settings(
    named: UpstreamTable, model: str | None, expected: tuple[str, str]
) -> None:
    chosen = asyncio.run(named.route(model))
    assert (chosen.upstream.name, chosen.model or "") == expected


def test_upstream_that_a_request_names(named: UpstreamTable) -> None:
    names = [asyncio.run(named.route("gpt-5", name)).upstream.name for name in ("local", "default")]
    assert names == ["local", f"{NOWHERE}/v1"]
    with pytest.raises(InvalidRequest, match="openai, anthropic, local, default"):
        asyncio.run(named.route("gpt-5", "none"))


def test_without_upstreams_there_is_no_route() -> None:
    with pytest.raises(NoUpstream):
        route(table(), "m")


@pytest.mark.parametrize("model", ["m", None])
def test_model_of_no_upstream_is_refused_with_the_known_ones(model: str | None) -> None:
    with pytest.raises(InvalidRequest, match=r"gpt-\*, o4, llama") as caught:
        route(table(openai=["gpt-*", "o4"], local=["llama"]), model)
    assert (caught.value.code, caught.value.param) == ("unknown_model", "model")


def test_request_without_model_goes_to_the_only_upstream() -> None:
    assert route(table(openai=["gpt-*"]), None) == ("openai", "")


def test_model_is_found_in_a_list_that_is_remembered(servers: Sequence[RecordingUpstream]) -> None:
    first, second = servers
    first.answer, second.answer = listing("a", "llama3.2:latest"), listing("b", "models/gemini")
    upstreams = table(NOWHERE, first=(first.address, []), second=(second.address, []), third=["c"])

    async def owners() -> list[str]:
        names = ["a", "b", "llama3.2", "gemini", "z", "c"]
        routes = [await upstreams.route(name) for name in names]
        assert upstreams.remembered_route("b") == routes[1]
        return [chosen.upstream.name for chosen in routes]

    asked = len(first.requests)
    expected = ["first", "second", "first", "second", f"{NOWHERE}/v1", "third"]
    assert ask(upstreams, owners) == expected
    assert len(first.requests) == asked + 1


def test_list_that_is_down_is_skipped(servers: Sequence[RecordingUpstream]) -> None:
    servers[0].answer = listing("a")
    upstreams = table(down=[], up=(servers[0].address, []))
    assert route(upstreams, "a") == ("up", "a")


def test_models_are_merged(servers: Sequence[RecordingUpstream]) -> None:
    first, second = servers
    first.answer, second.answer = listing("gpt-5", "tts", "b"), listing("b", "gpt-5", "c")
    upstreams = table(
        second.address, first=(first.address, ["gpt-*", "tts", "deployment"]), down=[]
    )
    merged = models_of(upstreams)
    assert [model["id"] for model in merged.models] == ["gpt-5", "tts", "deployment", "b", "c"]
    assert merged.models[2]["owned_by"] == "first"
    assert list(merged.warnings) == ["no models of down (upstream_unreachable)"]


def test_upstream_without_a_list_has_its_exact_names(servers: Sequence[RecordingUpstream]) -> None:
    servers[0].answer = lambda _: JSONResponse({}, 404)
    merged = models_of(table(first=(servers[0].address, ["a", "b-*"])))
    assert ([model["id"] for model in merged.models], merged.warnings) == (["a"], [])


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        (JSONResponse({}, 401), "status 401"),
        (JSONResponse({"data": 1}), "unreadable"),
        (Response(b"<html>"), "unreadable"),
    ],
)
def test_list_that_cannot_be_read_is_a_warning(
    servers: Sequence[RecordingUpstream], response: Response, failure: str
) -> None:
    servers[0].answer, servers[1].answer = (lambda _: response), listing("b")
    upstreams = table(first=(servers[0].address, ["a"]), second=(servers[1].address, []))
    merged = models_of(upstreams)
    assert [model["id"] for model in merged.models] == ["b"]
    assert list(merged.warnings) == [f"no models of first ({failure})"]


def test_no_list_at_all_is_an_error() -> None:
    with pytest.raises(UpstreamDown, match="no models of first"):
        models_of(table(first=[], second=["x"]))


def test_list_of_a_callers_own_key_is_not_remembered(
    servers: Sequence[RecordingUpstream],
) -> None:
    servers[0].answer = listing("a")
    upstreams = table(first=(servers[0].address, []))

    async def remembered() -> list[bool]:
        steps = []
        for caller in (CallerKey("Bearer theirs"), NO_CALLER_KEY):
            await upstreams.models(caller, {})
            steps.append(upstreams.remembered_route("a") is not None)
        return steps

    assert ask(upstreams, remembered) == [False, True]
    keys = [request.headers.get("authorization") for request in servers[0].requests[-2:]]
    assert keys == ["Bearer theirs", None]
