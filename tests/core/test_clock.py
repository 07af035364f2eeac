"""Parsing and formatting of times."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.clock import MAX_SECONDS, now, parse_time, to_datetime, to_unix
from memory_service.core.errors import InvalidRequest
from memory_service.core.models import MICROSECONDS

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)
END_OF_2100 = 4_133_980_800


def refusal(value: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_time(value, "items.0.created_at")
    assert (caught.value.param, caught.value.code) == ("items.0.created_at", "invalid_time")
    return caught.value.message


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        (0, 0),
        (1_741_108_327, 1_741_108_327_000_000),
        (1_741_108_327.25, 1_741_108_327_250_000),
        (1_741_108_327.000001, 1_741_108_327_000_001),
        (MAX_SECONDS, MAX_SECONDS * MICROSECONDS),
        (float(MAX_SECONDS), MAX_SECONDS * MICROSECONDS),
    ],
)
def test_unix_seconds_have_no_offset(value: float, microseconds: int) -> None:
    assert parse_time(value, "t") == (microseconds, None)


@pytest.mark.parametrize(
    ("value", "microseconds", "offset"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2025-03-04T18:12:07+01:00", 1_741_108_327_000_000, 60),
        ("2025-03-04T18:12:07.5+01:00", 1_741_108_327_500_000, 60),
        ("2025-03-04 12:12:07-05:00", 1_741_108_327_000_000, -300),
        ("2025-03-04T22:57:07.000001+05:45", 1_741_108_327_000_001, 345),
        ("1969-12-31T23:00:00-01:00", 0, -60),
        ("9999-12-31T23:59:59Z", MAX_SECONDS * MICROSECONDS, 0),
    ],
)
def test_rfc_3339_time_keeps_its_offset(value: str, microseconds: int, offset: int) -> None:
    assert parse_time(value, "t") == (microseconds, offset)


@pytest.mark.parametrize("value", ["2025-03-04T18:12:07", "2025-03-04", "2025-03-04T18:12"])
def test_rfc_3339_time_without_an_offset_is_refused(value: str) -> None:
    assert "has no offset" in refusal(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "1741108327",
        "2025-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-03-04T24:30:00Z",
        "2025-03-04T18:12:07+24:00",
        "10000-01-01T00:00:00Z",
    ],
)
def test_text_that_is_not_a_time_is_refused(value: str) -> None:
    assert "is not an RFC 3339 time" in refusal(value)


@pytest.mark.parametrize(
    "value",
    [
        -1,
        -0.001,
        MAX_SECONDS + 1,
        10**400,
        float("nan"),
        float("inf"),
        float("-inf"),
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.000001Z",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_time_before_1970_or_after_9999_is_refused(value: float | str) -> None:
    assert "is out of range" in refusal(value)


def test_offset_with_seconds_is_refused() -> None:
    assert "not whole minutes" in refusal("2025-03-04T18:12:07+01:00:30")


@pytest.mark.parametrize("value", [True, False, None, [], {}, b"2025-03-04T18:12:07Z"])
def test_value_that_is_neither_number_nor_text_is_refused(value: Any) -> None:
    assert "must be Unix seconds" in refusal(value)


@pytest.mark.parametrize(
    ("value", "hinted"),
    [(1_741_108_327_000, True), (1_741_108_327_000.5, True), (-1, False), (1e18, False)],
)
def test_milliseconds_are_refused_with_a_hint(value: float, *, hinted: bool) -> None:
    assert ("milliseconds" in refusal(value)) is hinted


@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29)), OFFSETS)  # noqa: DTZ001 - zone added below
def test_rfc_3339_round_trip_with_offset(wall: datetime, offset: int) -> None:
    written = wall.replace(tzinfo=timezone(timedelta(minutes=offset)))
    parsed = to_datetime(*parse_time(written.isoformat(), "t"))
    assert parsed.isoformat() == written.isoformat()


@given(st.integers(0, END_OF_2100 * MICROSECONDS))
def test_unix_seconds_round_trip_to_the_microsecond(microseconds: int) -> None:
    assert parse_time(to_unix(microseconds), "t") == (microseconds, None)


@pytest.mark.parametrize(
    ("microseconds", "seconds"), [(0, "0"), (5_000_000, "5"), (5_250_000, "5.25")]
)
def test_whole_second_is_an_integer(microseconds: int, seconds: str) -> None:
    assert str(to_unix(microseconds)) == seconds


def test_time_without_an_offset_is_utc() -> None:
    assert to_datetime(0).isoformat() == "1970-01-01T00:00:00+00:00"


def test_parse_time_accepts_now() -> None:
    present = now()
    assert parse_time(to_unix(present), "t") == (present, None)
