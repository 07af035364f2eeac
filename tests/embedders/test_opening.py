"""Opening an embedder by name, and its settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chromadb.utils.embedding_functions import (
    DefaultEmbeddingFunction,
)

from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings, load_settings
from memory_service.embedders.local import LocalEmbedder
from memory_service.embedders.opening import open_embedder
from tests.support import standin_embeddings as standins
from tests.support.embedding import limits
from tests.support.embedding_function import FUNCTION
from tests.support.standin_embeddings import Standin


@pytest.mark.usefixtures("registered")
def test_embedder_is_opened_by_name(standin: Standin) -> None:
    embedders = [
        open_embedder("local", limits()),
        open_embedder("openai", limits(), model="small", base_url=standin.base_url),
        open_embedder(f"chroma:{FUNCTION}", limits(), config={}),
    ]
    assert [embedder.name for embedder in embedders] == [
        LocalEmbedder.name,
        "openai/small@8",
        f"chroma/{FUNCTION}@4",
    ]
    assert [embedder.embeds_with_write for embedder in embedders] == [True, False, False]
    for embedder in embedders:
        embedder.close()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("other", {}, "MEMORY_EMBEDDER is local, openai or chroma:NAME"),
        ("chroma:", {}, "MEMORY_EMBEDDER is local, openai or chroma:NAME"),
        ("chroma:other", {}, f"it has .*{FUNCTION}"),
        (f"chroma:{FUNCTION}", {"config": {"unmakeable": True}}, "MEMORY_EMBEDDER_CONFIG"),
        (f"chroma:{FUNCTION}", {"config": {"fails": True}}, "failed with LookupError"),
        ("openai", {"base_url": "http://127.0.0.1:9/v1"}, "MEMORY_EMBEDDER_MODEL"),
        ("openai", {"model": "small"}, "MEMORY_EMBEDDER_API_KEY"),
        ("openai", {"model": "small", "base_url": "127.0.0.1:9"}, "MEMORY_EMBEDDER_BASE_URL"),
        ("openai", {"model": "small", "base_url": "http://[x"}, "MEMORY_EMBEDDER_BASE_URL"),
    ],
)
def test_error_of_an_embedder_that_cannot_be_opened(
    kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        open_embedder(kind, limits(), **options)


@pytest.mark.parametrize(
    ("status", "message"), [(401, "MEMORY_EMBEDDER_API_KEY"), (404, "MEMORY_EMBEDDER_MODEL")]
)
def test_error_of_a_refusal_at_the_start(standin: Standin, status: int, message: str) -> None:
    standin.then(standins.error(status))
    with pytest.raises(StartupError, match=message):
        open_embedder("openai", limits(), model="small", base_url=standin.base_url)


def test_same_embedder_opens_without_a_request(standin: Standin) -> None:
    embedder = open_embedder(
        "openai", limits(), model="small", base_url=standin.base_url, made_with="openai/small@8"
    )
    assert (embedder.name, standin.requests) == ("openai/small@8", [])
    embedder.close()


def test_other_embedder_is_asked_for_its_dimension(standin: Standin) -> None:
    embedder = open_embedder(
        "openai", limits(), model="small", base_url=standin.base_url, made_with="openai/large@9"
    )
    assert embedder.dimension == standins.DIMENSION
    embedder.close()


def test_function_that_downloads_a_model_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> None:
        raise AssertionError("the function was made")

    monkeypatch.setattr(DefaultEmbeddingFunction, "__init__", fail)
    open_embedder("local", limits()).close()
    with pytest.raises(StartupError):
        open_embedder("chroma:other", limits())


def test_key_is_not_in_the_representation_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_API_KEY", "sk-made-up")
    settings = load_settings()
    assert settings.embedder_api_key is not None
    assert settings.embedder_api_key.get_secret_value() == "sk-made-up"
    assert "sk-made-up" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_configuration_of_a_function_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_EMBEDDER_CONFIG", json.dumps({"model_name": "a", "depth": {"x": 1}}))
    assert load_settings().embedder_config == {"model_name": "a", "depth": {"x": 1}}
    assert Settings().embedder_config == load_settings().embedder_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMBEDDER", "chroma"),
        ("EMBEDDER_CONFIG", "{"),
        ("EMBEDDER_CONFIG", "[1]"),
        ("EMBEDDER_BATCH", "0"),
        ("EMBEDDER_TIMEOUT_SECONDS", "inf"),
        ("EMBEDDER_QUERY_TIMEOUT_SECONDS", "0"),
        ("EMBEDDER_DIMENSION", "0"),
        ("EMBEDDER_MAX_INPUT_TOKENS", "1"),
    ],
)
def test_invalid_embedder_settings_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MEMORY_{name}", value)
    with pytest.raises(StartupError, match=f"MEMORY_{name}"):
        load_settings()
