"""Time expressions in English questions."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.dates.expressions import nearest_dates, time_reference

TODAY = date(2025, 3, 12)  # a Wednesday


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What did I say on May 3, 2023?", "2023-05-03", "2023-05-03"),
        ("What did I say on 3 May?", "2024-05-03", "2024-05-03"),
        ("What did I say on July twenty-first?", "2024-07-21", "2024-07-21"),
        ("What about 2024-11-09?", "2024-11-09", "2024-11-09"),
        ("What did we do in July 2023?", "2023-07-01", "2023-07-31"),
        ("What did we do in December?", "2024-12-01", "2024-12-31"),
        ("What did I tell you yesterday?", "2025-03-11", "2025-03-11"),
        ("And the day before yesterday?", "2025-03-10", "2025-03-10"),
        ("What did we discuss earlier this morning?", "2025-03-12", "2025-03-12"),
        ("What did we talk about last Tuesday?", "2025-03-11", "2025-03-11"),
        ("What did we talk about last Wednesday?", "2025-03-05", "2025-03-05"),
        ("What happened last week?", "2025-03-03", "2025-03-09"),
        ("What happened over the last week?", "2025-03-05", "2025-03-12"),
        ("What happened over the last three days?", "2025-03-09", "2025-03-12"),
        ("What happened last month?", "2025-02-01", "2025-02-28"),
        ("What happened 5 months ago?", "2024-10-01", "2024-10-31"),
        ("What happened 16 days ago?", "2025-02-24", "2025-02-24"),
        ("What did I sell on the Wednesday three weeks ago?", "2025-02-19", "2025-02-19"),
        ("Which venues did we see the week after Easter?", "2024-04-01", "2024-04-07"),
        ("How far did I get on the Saturday before Easter?", "2024-03-30", "2024-03-30"),
        ("What did I pay on the Thursday after Easter last year?", "2024-04-04", "2024-04-04"),
        ("Why were we offline the day after the Fourth of July?", "2024-07-05", "2024-07-05"),
        ("What was the plan on Christmas Day 2023?", "2023-12-25", "2023-12-25"),
        ("What did I do in the third week of April?", "2024-04-15", "2024-04-21"),
        ("What did she bring in the second half of July?", "2024-07-16", "2024-07-31"),
        ("What did I lose on the last night of October?", "2024-10-31", "2024-10-31"),
        ("What went on in late August?", "2024-08-21", "2024-08-31"),
        ("What did we resolve at the start of the year?", "2025-01-01", "2025-02-01"),
        ("What did we say between May 4th and May 20th?", "2024-05-04", "2024-05-20"),
        ("What did we say from December 20 to January 5?", "2024-12-20", "2025-01-05"),
        ("What have I done since February?", "2025-02-01", "2025-03-12"),
        ("What went wrong a fortnight ago?", "2025-02-23", "2025-03-01"),
        ("What did I say on Tuesday of last week?", "2025-03-04", "2025-03-04"),
        ("Where were we the weekend before last?", "2025-02-28", "2025-03-02"),
        ("What did I mention the other day?", "2025-03-02", "2025-03-11"),
        ("What broke eight days before Christmas?", "2024-12-17", "2024-12-17"),
        ("What happened a few days before Easter?", "2024-03-25", "2024-03-30"),
        ("What did I plan shortly after Halloween?", "2024-11-01", "2024-11-10"),
        ("What did I write in the run-up to Easter?", "2024-03-21", "2024-03-30"),
        ("What was new in mid-2024?", "2024-05-01", "2024-09-01"),
        ("What did I say in the first days of June?", "2024-06-01", "2024-06-11"),
    ],
)
def test_expression_means_days(question: str, first: str, last: str) -> None:
    (period,) = time_reference(question, TODAY).periods
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    "question",
    [
        "May I see the march of the penguins?",
        "What is the second half of the recipe?",
        "Who looks after the cat?",
        "What happened on February 30th?",
        "Is the last train full?",
        "",
    ],
)
def test_text_that_resembles_a_time_means_none(question: str) -> None:
    assert not time_reference(question, TODAY)


def test_text_too_long_for_a_question_means_no_time() -> None:
    assert time_reference("last week " + "x" * 1_980, TODAY)
    assert not time_reference("last week " + "x" * 2_000, TODAY)


def test_dotless_i_in_english_words_is_read() -> None:
    (period,) = time_reference("What did we do fıve days ago?", TODAY).periods  # noqa: RUF001
    assert period.first == date(2025, 3, 7)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Surgery is on Tuesday 13 August", date(2024, 8, 13)),
        ("the concert is on the 29th", date(2024, 7, 29)),
        ("my exam is on the 3rd", date(2024, 8, 3)),
    ],
)
def test_nearest_date_may_be_in_the_future(text: str, day: date) -> None:
    assert nearest_dates(text, date(2024, 7, 23)) == [day]


@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(
            [
                "the",
                "last",
                "first",
                "week",
                "of",
                "May",
                "31st",
                "before",
                "after",
                "9999",
                "days",
                "ago",
                "Easter",
                "between",
                "and",
                "2024",
                "session",
            ]
        ),
        max_size=12,
    ).map(" ".join)
)
def test_any_text_can_be_read(text: str) -> None:
    reference = time_reference(text, TODAY)
    assert all(period.first <= period.last for period in reference.periods)
    assert len(reference.without(text)) == len(text)
