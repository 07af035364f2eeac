"""Facts about models by name: context window, longest text to embed, encoding.

The facts are in `data/models.toml`. Models that it does not list have the defaults below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from memory_service.core.data_files import read_toml
from memory_service.tokens.context_window import ContextWindow

DEFAULT_CONTEXT_WINDOW: Final = 128_000
"""Tokens; current models have at least as many."""

DEFAULT_MAX_INPUT_TOKENS: Final = 512
"""The least of the embedding models in wide use. Too low is an error that says so; too high would
let a server cut texts without an error."""

DEFAULT_ENCODING: Final = "o200k_base"
"""OpenAI's newest; other vendors' tokenizers need about as many tokens."""


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The content of `data/models.toml`."""

    context_windows: Mapping[str, int]
    max_input_tokens: Mapping[str, int]
    encodings: Mapping[str, re.Pattern[str]]


@cache
def model_table() -> ModelTable:
    """Return the table, which is read once."""
    content = read_toml("memory_service.tokens", "models.toml")
    return ModelTable(
        context_windows=content["context_windows"],
        max_input_tokens=content["max_input_tokens"],
        encodings={name: re.compile(pattern) for name, pattern in content["encodings"].items()},
    )


def context_window(model: str | None) -> ContextWindow:
    """Return the context window of a model, by the table or by default."""
    tokens = _by_prefix(model_table().context_windows, bare_name(model), 0)
    if tokens:
        return ContextWindow(tokens, "table")
    return ContextWindow(DEFAULT_CONTEXT_WINDOW, "default")


def max_input_tokens(model: str) -> int:
    """Return the longest text that an embedding model takes, in tokens."""
    return _by_prefix(model_table().max_input_tokens, model, DEFAULT_MAX_INPUT_TOKENS)


def encoding_name(model: str | None) -> str:
    """Return the name of tiktoken's encoding for a model."""
    name = bare_name(model).lower()
    fitting = (
        encoding for encoding, pattern in model_table().encodings.items() if pattern.match(name)
    )
    return next(fitting, DEFAULT_ENCODING)


def bare_name(model: str | None) -> str:
    """Return a model's name without a vendor in front, which proxies add."""
    return (model or "").rpartition("/")[2]


def _by_prefix(table: Mapping[str, int], name: str, default: int) -> int:
    prefixes = [prefix for prefix in table if name.startswith(prefix)]
    return table[max(prefixes, key=len)] if prefixes else default
