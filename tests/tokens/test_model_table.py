"""Facts about models by name."""

from __future__ import annotations

import pytest

from memory_service.tokens.encodings import ENCODINGS
from memory_service.tokens.model_table import (
    context_window,
    encoding_name,
    max_input_tokens,
    model_table,
)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        (None, "o200k_base"),
        ("", "o200k_base"),
        ("llama3.1:8b", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("ft:gpt-4.1:me::1", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai/GPT-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo-16k", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_encoding_of_a_model(model: str | None, encoding: str) -> None:
    assert encoding_name(model) == encoding


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        (None, 128_000),
        ("gpt-4", 8_192),
        ("gpt-4-32k-0613", 32_768),
        ("gpt-4-1106-preview", 128_000),
        ("gpt-4o-mini", 128_000),
        ("gpt-4.1-nano", 1_047_576),
        ("openai/gpt-3.5-turbo", 16_385),
        ("somebody-elses-model", 128_000),
    ],
)
def test_context_window_of_the_longest_prefix(model: str | None, tokens: int) -> None:
    window = context_window(model)
    assert window.tokens == tokens
    assert window.source == ("table" if "gpt" in (model or "") else "default")


@pytest.mark.parametrize(
    ("model", "tokens"), [("text-embedding-3-small", 8_191), ("nomic-embed-text", 512)]
)
def test_longest_text_to_embed(model: str, tokens: int) -> None:
    assert max_input_tokens(model) == tokens


def test_data_file_is_valid() -> None:
    table = model_table()
    limits = [*table.context_windows.values(), *table.max_input_tokens.values()]
    assert all(isinstance(tokens, int) and 256 <= tokens <= 10_000_000 for tokens in limits)
    names = [*table.context_windows, *table.max_input_tokens]
    assert all(name == name.strip().lower() and name for name in names)
    assert table.encodings.keys() <= set(ENCODINGS)
