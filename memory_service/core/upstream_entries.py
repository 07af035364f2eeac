"""Entries of the table of upstreams: how MEMORY_UPSTREAMS is read. Pure but for reading a file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""The form of an upstream's name. It has no slash: a name before a model's ends with one."""

URL = r"^https?://\S+$"


class UpstreamEntry(BaseModel):
    """One upstream: where it is, its key, and the models that it serves."""

    # The input of an invalid field may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str = Field(pattern=URL)
    api_key: SecretStr | None = None
    models: tuple[str, ...] = ()
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    api_version: str | None = Field(default=None, min_length=1)
    key_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    caller_key: bool = False


def read_upstreams(value: object, environment: Mapping[str, str]) -> object:
    """Return the table in a JSON object or in a TOML file, unchecked; raises ValueError.

    A key that `api_key_env` names is taken from the environment.
    """
    table = _parsed(value.strip()) if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        return table
    return {
        name: _with_key(name, entry, environment) if isinstance(entry, Mapping) else entry
        for name, entry in table.items()
    }


def _parsed(text: str) -> object:
    if not text:
        return {}
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            # The error's own message is safe, its document holds keys.
            raise ValueError(f"this is not valid JSON: {error}") from None
    path = Path(text).expanduser()
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(
            f"this is neither a JSON object nor a readable file: {path} ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def _with_key(
    name: str, entry: Mapping[str, Any], environment: Mapping[str, str]
) -> Mapping[str, Any]:
    variable = entry.get("api_key_env")
    if variable is None:
        return entry
    if "api_key" in entry:
        raise ValueError(f"{name} has both api_key and api_key_env")
    if not isinstance(variable, str) or not environment.get(variable):
        raise ValueError(f"{name}: the variable {variable} is not set")
    others = {field: value for field, value in entry.items() if field != "api_key_env"}
    return {**others, "api_key": environment[variable]}
