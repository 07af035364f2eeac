"""Context windows in lists of models, and how they are asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from memory_service.core.protocols import ListKind
from memory_service.core.settings import Settings
from memory_service.llm.endpoint import endpoint_of
from memory_service.llm.model_lists import HttpModelLists
from memory_service.tokens.context_window import ContextWindow
from memory_service.upstreams.listed_windows import listed_windows, with_windows
from memory_service.upstreams.window_probe import WindowProbe
from memory_service.upstreams.windows import ContextWindows, ModelKey, SetWindows
from tests.support.storing import idle_service
from tests.support.upstream import serving

LISTS: dict[str, tuple[ListKind, Any, dict[str, int]]] = {
    "vLLM": ("openai", {"data": [{"id": "q", "max_model_len": 32_768}]}, {"q": 32_768}),
    "llama.cpp": (
        "openai",
        {"data": [{"id": "g", "meta": {"n_ctx_train": 131_072, "n_ctx": 4_096}}]},
        {"g": 4_096},
    ),
    "OpenRouter": (
        "openai",
        {
            "data": [
                {
                    "id": "meta/llama",
                    "context_length": 131_072,
                    "top_provider": {"context_length": 65_536, "max_completion_tokens": None},
                }
            ]
        },
        {"meta/llama": 65_536},
    ),
    "Together": ("openai", [{"id": "a", "context_length": 8_192}], {"a": 8_192}),
    "Groq": ("openai", {"data": [{"id": "a", "context_window": 131_072}]}, {"a": 131_072}),
    "Mistral": ("openai", {"data": [{"id": "a", "max_context_length": 32_768}]}, {"a": 32_768}),
    "Copilot": (
        "openai",
        {"data": [{"id": "a", "capabilities": {"limits": {"max_context_window_tokens": 64_000}}}]},
        {"a": 64_000},
    ),
    "OpenAI": ("openai", {"data": [{"id": "gpt-4o", "owned_by": "system"}]}, {}),
    "LM Studio": (
        "lm_studio",
        {
            "data": [
                {"id": "a", "max_context_length": 131_072, "loaded_context_length": 4_096},
                {"id": "b", "max_context_length": 32_768, "state": "not-loaded"},
            ]
        },
        {"a": 4_096, "b": 32_768},
    ),
    "Ollama": (
        "ollama",
        {"models": [{"name": "llama3:latest", "model": "llama3:latest", "context_length": 4_096}]},
        {"llama3:latest": 4_096, "llama3": 4_096},
    ),
}


@pytest.mark.parametrize("server", list(LISTS))
def test_windows_of_each_server(server: str) -> None:
    kind, body, windows = LISTS[server]
    assert listed_windows(json.dumps(body).encode(), kind) == windows


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "id", "models", "meta", "n_ctx", "context_length"]), inner
        )
    ),
    max_leaves=10,
)


@given(json_values | st.binary(max_size=30))
def test_any_list_is_read(body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert all(tokens > 0 for tokens in listed_windows(content).values())
    with_windows(content, lambda _: ContextWindow(1, "default"))


def test_windows_are_added_to_list_without_change_of_other_fields() -> None:
    body = {"object": "list", "data": [{"id": "a", "price": 1e-7, "x": "\ud800"}, {"id": 5}, 7]}
    extended = json.loads(
        with_windows(json.dumps(body).encode(), lambda _: ContextWindow(5_000, "list"))
    )
    assert extended["data"][0].pop("memory") == {"context_window": 5_000, "source": "list"}
    assert extended == body
    assert (
        with_windows(b'{"error": "no"}', lambda _: ContextWindow(1, "list")) == b'{"error": "no"}'
    )


@contextmanager
def model_server(lists: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Serve lists by their path; yields the base URL and the paths that were asked for."""
    paths: list[str] = []

    async def answer(request: Request) -> Response:
        paths.append(request.url.path)
        body = lists.get(request.url.path)
        return JSONResponse(body) if body is not None else Response("no", 404)

    with serving(Starlette(routes=[Route("/{path:path}", answer)])) as address:
        yield f"{address}/v1", paths


SILENT = LISTS["OpenAI"][1]


@pytest.mark.parametrize(
    ("lists", "model", "tokens", "asked"),
    [
        ({"/v1/models": LISTS["vLLM"][1]}, "q", 32_768, 1),
        ({"/v1/models": SILENT, "/api/v0/models": LISTS["LM Studio"][1]}, "a", 4_096, 2),
        ({"/v1/models": SILENT, "/api/ps": LISTS["Ollama"][1]}, "llama3", 4_096, 3),
        ({"/v1/models": SILENT}, "q", 128_000, 3),
        ({}, "q", 128_000, 3),
    ],
)
def test_local_server_is_asked_until_one_list_states_the_window(
    settings: Settings, lists: dict[str, Any], model: str, tokens: int, asked: int
) -> None:
    with model_server(lists) as (url, paths), idle_service(settings) as service:
        windows = ContextWindows(service.log, service.deferred_writer, SetWindows())
        key = ModelKey("local", model)

        async def probe() -> None:
            prober = WindowProbe(
                windows, {"local": HttpModelLists(endpoint_of(url, setting="X"), None)}
            )
            for _ in range(2):
                prober.ask_soon(key)
            prober.ask_soon(ModelKey("unknown", model))
            await prober.finish()
            await prober.close()

        asyncio.run(probe())
        assert windows.of(*key).tokens == tokens
        assert paths == ["/v1/models", "/api/v0/models", "/api/ps"][:asked]


@pytest.mark.parametrize(
    ("url", "key", "kinds"),
    [
        ("http://127.0.0.1:11434/v1", None, ("openai", "lm_studio", "ollama")),
        ("http://vllm:8000/v1", None, ("openai", "lm_studio", "ollama")),
        ("https://api.openai.com/v1", "k", ("openai",)),
        ("https://openrouter.ai/api/v1", None, ()),
    ],
)
def test_lists_that_a_server_may_be_asked_for(
    url: str, key: str | None, kinds: tuple[str, ...]
) -> None:
    assert HttpModelLists(endpoint_of(url, setting="X"), key).kinds == kinds


def test_unreachable_server_has_no_lists() -> None:
    async def fetch() -> bytes | None:
        lists = HttpModelLists(endpoint_of("http://127.0.0.1:1/v1", setting="X"), None)
        content = await lists.fetch("openai")
        await lists.close()
        return content

    assert asyncio.run(fetch()) is None
