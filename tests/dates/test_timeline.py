"""The turns that a time reference selects."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import MICROSECONDS
from memory_service.dates.expressions import time_reference
from memory_service.dates.timeline import (
    SESSION_PAUSE_SECONDS,
    day_of,
    is_only_time,
    select_turns,
)
from tests.support.factories import make_turn, message

TODAY = date(2025, 3, 12)  # a Wednesday
NOW = datetime(2025, 3, 12, 18, tzinfo=UTC)


def micros(*moments: datetime) -> np.ndarray:
    return np.array([round(moment.timestamp() * MICROSECONDS) for moment in moments], np.int64)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What did we talk about last Tuesday?", True),
        ("Summarize what we discussed in our second session.", True),
        ("What did we say about the boiler last Tuesday?", False),
        ("What did we talk about?", False),
    ],
)
def test_is_only_time_of_questions_without_other_subject(question: str, *, expected: bool) -> None:
    assert is_only_time(question, time_reference(question, TODAY)) is expected


def test_days_are_in_the_time_zone_of_the_asker() -> None:
    late = micros(datetime(2025, 3, 11, 23, 30, tzinfo=UTC))
    reference = time_reference("What did I say yesterday?", TODAY)
    assert select_turns(reference, late, NOW).tolist() == [True]
    assert select_turns(reference, late, NOW.astimezone(timezone(timedelta(hours=2)))).tolist() == [
        False
    ]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_pauses_separate_numbered_sessions(gaps: list[int]) -> None:
    pause = (SESSION_PAUSE_SECONDS + 1) * MICROSECONDS
    times = np.cumsum(np.array(gaps, np.int64)) * pause
    sessions = 1 + np.cumsum(np.array(gaps[1:], np.int64) > 0)
    for number in range(1, int(sessions[-1]) + 1 if len(sessions) else 2):
        reference = time_reference(f"What did we discuss in session {number}?", TODAY)
        expected = [number == 1, *(sessions == number).tolist()]
        assert select_turns(reference, times, NOW).tolist() == expected


def test_saturday_without_turns_means_the_one_before() -> None:
    times = micros(datetime(2025, 3, 1, 9, tzinfo=UTC), datetime(2025, 3, 10, 9, tzinfo=UTC))
    assert select_turns(
        time_reference("What was up last Saturday?", TODAY), times, NOW
    ).tolist() == [True, False]


def test_earlier_today_excludes_the_current_session() -> None:
    times = micros(NOW - timedelta(hours=7), NOW - timedelta(minutes=3))
    assert select_turns(
        time_reference("What did we say earlier today?", TODAY), times, NOW
    ).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("The exam is tomorrow.", date(2023, 11, 15)),
        ("We moved last Saturday.", date(2023, 11, 11)),
        ("Surgery is on Tuesday 21 November.", date(2023, 11, 21)),
        ("We moved in the spring.", date(2023, 11, 14)),
    ],
)
def test_turn_speaks_of_the_day_it_names_or_of_its_own(text: str, day: date) -> None:
    assert day_of(make_turn(message(text)), 0) == day
