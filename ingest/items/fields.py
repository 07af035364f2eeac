"""The fields of items as the service stores them: text, titles, names, metadata, times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from memory_service.core.clock import MAX_SECONDS, to_datetime
from memory_service.core.models import MICROSECONDS
from memory_service.items.fields import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_PAIRS,
    MAX_METADATA_VALUE_CHARS,
    MAX_NAME_CHARS,
)

_MAX_TITLE_CHARS = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The log stores UTF-8 without NUL; transcripts hold half surrogate pairs where a stream was cut.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with a replacement character for each character that cannot be stored."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line_title(text: Any) -> str | None:
    """Return a title on one line, cut to 500 characters; None for an empty one or no string."""
    return (_one_line(text)[:_MAX_TITLE_CHARS] or None) if isinstance(text, str) else None


def speaker_name(name: str) -> str | None:
    """Return a speaker's name on one line, cut to the length the service accepts."""
    return _one_line(name)[:MAX_NAME_CHARS].strip() or None


def metadata_of(pairs: Mapping[str, Any]) -> dict[str, str]:
    """Return OpenAI's metadata: short strings; pairs with an empty value are left out."""
    kept = {
        key[:MAX_METADATA_KEY_CHARS]: storable(str(value))[:MAX_METADATA_VALUE_CHARS]
        for key, value in pairs.items()
        if value not in (None, "", [], {})
    }
    return dict(list(kept.items())[:MAX_METADATA_PAIRS])


def microseconds(value: Any) -> int | None:
    """Return a time in microseconds since the epoch; None if it is no time or out of range.

    `value` is Unix seconds or ISO 8601; a time without an offset is UTC.
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        time = (aware - _EPOCH) // timedelta(microseconds=1)
        return time if 0 <= time <= MAX_SECONDS * MICROSECONDS else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return round(value * MICROSECONDS) if 0 <= value <= MAX_SECONDS else None


def rfc3339(time: int | None) -> str | None:
    """Return microseconds since the epoch as text; None for None."""
    return None if time is None else to_datetime(time).isoformat()


def utc_time(value: Any) -> str | None:
    """Return a time in any spelling that `microseconds` takes as RFC 3339 in UTC; else None."""
    return rfc3339(microseconds(value))


def _one_line(text: str) -> str:
    return " ".join(storable(text).split())
