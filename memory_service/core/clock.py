"""Times: the clock, and parsing and showing of the times that callers send."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from memory_service.core.errors import InvalidRequest
from memory_service.core.models import MICROSECONDS

MAX_SECONDS = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that RFC 3339 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    """Return the current time, in microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def parse_time(value: Any, param: str) -> tuple[int, int | None]:
    """Return (microseconds since the epoch, offset in minutes or None) of a caller's time.

    Accepts Unix seconds (int or float) and RFC 3339 with an offset; raises InvalidRequest for
    anything else.
    """
    if isinstance(value, str):
        return _parse_text(value, param)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _invalid(param, "must be Unix seconds or an RFC 3339 time with an offset")
    if not 0 <= value <= MAX_SECONDS:
        hint = "; it looks like milliseconds" if 1e11 < value < MAX_SECONDS * 1000 else ""
        raise _invalid(param, f"is out of range: 0 to {MAX_SECONDS} seconds{hint}")
    return round(value * MICROSECONDS), None


def to_datetime(microseconds: int, utc_offset_minutes: int | None = None) -> datetime:
    """Return the time in the offset it was written in, or UTC."""
    zone = timezone(timedelta(minutes=utc_offset_minutes)) if utc_offset_minutes else UTC
    return (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone)


def to_unix(microseconds: int) -> int | float:
    """Return Unix seconds, as an integer if the time is a whole second."""
    seconds, rest = divmod(microseconds, MICROSECONDS)
    return seconds if rest == 0 else microseconds / MICROSECONDS


def _parse_text(value: str, param: str) -> tuple[int, int | None]:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise _invalid(
            param, "is not an RFC 3339 time such as 2025-03-04T18:12:07+01:00"
        ) from error
    offset = parsed.utcoffset()
    if offset is None:
        raise _invalid(param, "has no offset: end it with Z or one such as +01:00")
    microseconds = (parsed - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= microseconds <= MAX_SECONDS * MICROSECONDS:
        raise _invalid(param, "is out of range: 1970 to 9999")
    if offset % timedelta(minutes=1):
        raise _invalid(param, "has an offset that is not whole minutes")
    return microseconds, offset // timedelta(minutes=1)


def _invalid(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' {what}.", param=param, code="invalid_time")
