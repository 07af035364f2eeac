"""Checks of single fields that clients send: ids, names, metadata."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from memory_service.core.errors import InvalidRequest
from memory_service.items.strict_json import check_text

ID_PATTERN = r"^(?!\.{1,2}$)[A-Za-z0-9_.:@~+=-]{1,128}$"
"""Characters that need no escape in a path, a header or a log line; not a step of a path."""

MAX_NAME_CHARS = 128
MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512
MAX_USER_ID_CHARS = 128

_ID = re.compile(ID_PATTERN)
# Characters that would split a header, a log line or a line of a file.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def new_id(prefix: str) -> str:
    """Return a fresh id such as `msg_3f…`: 128 random bits."""
    return f"{prefix}_{uuid.uuid4().hex}"


def check_id(value: Any, param: str) -> str:
    """Return an id that a client chose; raises InvalidRequest if it is not one."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidRequest(
            f"'{param}' must be 1 to 128 letters, digits or characters of '_-.:@~+='.",
            param=param,
            code="invalid_id",
        )
    return value


def check_user_id(value: Any, param: str) -> str:
    """Return the id of a user; raises InvalidRequest if it is not one.

    Applications choose it: an e-mail address, a hash, a UUID, a name. Ids are compared character by
    character. "." and ".." are refused because URLs drop them from their paths.
    """
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= MAX_USER_ID_CHARS
        or value != value.strip()
        or value in (".", "..")
        or _CONTROLS.search(value)
    ):
        raise InvalidRequest(
            f"'{param}' must be a user's id: 1 to {MAX_USER_ID_CHARS} characters, without control "
            "characters and without white space around it, and not '.' or '..'.",
            param=param,
            code="invalid_id",
        )
    return value


def check_metadata(value: Any, param: str) -> dict[str, str]:
    """Return OpenAI's metadata; raises InvalidRequest that names the invalid pair."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"'{param}' must be an object of strings.", param=param)
    if len(value) > MAX_METADATA_PAIRS:
        raise InvalidRequest(
            f"'{param}' holds {len(value)} pairs; {MAX_METADATA_PAIRS} are allowed.", param=param
        )
    return {
        bounded(key, MAX_METADATA_KEY_CHARS, param, "a key"): bounded(
            entry, MAX_METADATA_VALUE_CHARS, f"{param}.{key}", "a value", at_least=0
        )
        for key, entry in value.items()
    }


def check_name(value: Any, param: str) -> str | None:
    """Return a speaker's name; raises InvalidRequest if it is not a short string."""
    if value is None:
        return None
    name = bounded(value, MAX_NAME_CHARS, param, "a name").strip()
    return name or None


def bounded(value: Any, limit: int, param: str, what: str, *, at_least: int = 1) -> str:
    """Return a string of at least so many and at most `limit` characters.

    Raises InvalidRequest, which calls the value `what`, for anything else.
    """
    if not isinstance(value, str):
        raise InvalidRequest(
            f"'{param}': {what} must be a string.", param=param, code="invalid_type"
        )
    if not at_least <= len(value) <= limit:
        raise InvalidRequest(f"'{param}': {what} has 1 to {limit} characters.", param=param)
    return check_text(value, param)
