"""Read context windows from a server's list of models, and show ours in it. Pure.

The fields are in `data/listed_windows.toml`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from memory_service.core.data_files import read_toml
from memory_service.core.protocols import ListKind
from memory_service.tokens.context_window import ContextWindow

EXTENSION: Final = "memory"
"""The field with our own information in the object of a model."""

_LATEST: Final = ":latest"
"""Ollama's models have this tag if their name has none."""


def listed_windows(content: bytes, kind: ListKind = "openai") -> dict[str, int]:
    """Return the context windows that a list states, by the models' names."""
    paths = _paths(kind)
    return {
        name: min(windows)
        for model in _models(_parsed(content))
        if (windows := [tokens for path in paths if (tokens := _tokens(model, path))])
        for name in _names(model)
    }


def with_windows(content: bytes, window_of: Callable[[str], ContextWindow]) -> bytes:
    """Return OpenAI's list with our context windows as an extension of each model.

    The upstream's own fields stay as they are. What is no such list is returned unchanged.
    """
    body = _parsed(content)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        return content
    data = [
        {**model, EXTENSION: _extension(window_of(model["id"]))}
        if isinstance(model, dict) and isinstance(model.get("id"), str)
        else model
        for model in body["data"]
    ]
    # ASCII, because names may contain halves of surrogate pairs.
    return json.dumps({**body, "data": data}).encode()


def _extension(window: ContextWindow) -> dict[str, Any]:
    return {"context_window": window.tokens, "source": window.source}


@cache
def _paths(kind: ListKind) -> Sequence[str]:
    paths: Sequence[str] = read_toml("memory_service.upstreams", "listed_windows.toml")[kind][
        "paths"
    ]
    return paths


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _models(body: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of the models; Together sends the list itself."""
    if isinstance(body, Mapping):
        body = body.get("data") or body.get("models")
    if isinstance(body, list):
        yield from (model for model in body if isinstance(model, Mapping))


def _names(model: Mapping[str, Any]) -> set[str]:
    """Return the names by which a model may be asked."""
    names = {model[name] for name in ("id", "name", "model") if isinstance(model.get(name), str)}
    if "id" in model:
        names = {model["id"]} if isinstance(model["id"], str) else set()
    return names | {name.removesuffix(_LATEST) for name in names}


def _tokens(model: Mapping[str, Any], path: str) -> int | None:
    """Return the number at a path of fields, None if there is no positive whole number."""
    value: Any = model
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if type(value) is int and value > 0 else None
