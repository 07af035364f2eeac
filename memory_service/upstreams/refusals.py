"""Read an upstream's refusal of a prompt that is too long. Pure.

Servers use different status codes and error codes for it, so the message is read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size)|(prompt|input|request).{0,20} too (long|large)"
    r"|too many tokens",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"maximum context length is (\d{1,9}) tokens", re.IGNORECASE)
_USED = re.compile(r"(?:resulted in|requested) (\d{1,9}) tokens", re.IGNORECASE)


class ContextLimit(NamedTuple):
    """The limit that an upstream states for a prompt, and the tokens that it counted."""

    tokens: int
    used: int


def is_too_long(status: int, content: bytes) -> bool:
    """Return whether an upstream refuses a prompt for its length."""
    if status not in (400, 413, 422):
        return False
    error = _error(content)
    return "context_length_exceeded" in str(error.get("code")) or bool(
        _TOO_LONG.search(_message(error))
    )


def context_limit(content: bytes) -> ContextLimit | None:
    """Return the limit that a refusal states in OpenAI's wording; None if it states none."""
    message = _message(_error(content))
    limit, used = _LIMIT.search(message), _USED.search(message)
    if limit is None or used is None or int(used[1]) == 0:
        return None
    return ContextLimit(int(limit[1]), int(used[1]))


def _error(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    error = value.get("error", value) if isinstance(value, dict) else value
    return error if isinstance(error, dict) else {"message": error}


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or "")
