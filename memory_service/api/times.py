"""Times in request bodies: seconds since 1970, or RFC 3339 with an offset."""

from __future__ import annotations

from memory_service.api.schemas import TimeValue
from memory_service.core.clock import parse_time


def optional_time(value: TimeValue | None, param: str) -> int | None:
    """Return a time in microseconds since 1970; raises InvalidRequest that names `param`."""
    return None if value is None else parse_time(value, param)[0]


def moment(now: TimeValue | None) -> tuple[int | None, int | None]:
    """Return the time at which a question is asked, and its offset from UTC in minutes."""
    return (None, None) if now is None else parse_time(now, "now")
