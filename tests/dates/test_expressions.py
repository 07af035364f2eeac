# ruff: noqa: RUF001 - words of other languages are meant to look like that

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.core.models import MICROSECONDS
from memory_service.dates.expressions import Sessions, events, nearest_dates, read
from memory_service.dates.holidays import Period
from memory_service.dates.timeline import SESSION_PAUSE_SECONDS, is_only_time, meant
from memory_service.dates.translation import LANGUAGES, in_english

TODAY = date(2025, 3, 12)  # a Wednesday
NOW = datetime(2025, 3, 12, 18, tzinfo=UTC)


def micros(*moments: datetime) -> np.ndarray:
    return np.array([round(one.timestamp() * MICROSECONDS) for one in moments], np.int64)


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
def test_an_expression_means_its_days(question: str, first: str, last: str) -> None:
    (period,) = read(question, TODAY).periods
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What did we discuss two sessions ago?", -2, -2),
        ("What did we discuss last time?", -1, -1),
        ("What did we talk about in the last 3 conversations?", -3, -1),
        ("What did we discuss in our twenty-third session?", 23, 23),
        ("What did we discuss over sessions 15 through 17?", 15, 17),
        ("What did we chat about from the 15th through 17th sessions?", 15, 17),
        ("What did we say in the session before last?", -2, -2),
        ("What did I say the first time we talked?", 1, 1),
    ],
)
def test_sessions_are_counted_from_either_end(question: str, first: int, last: int) -> None:
    assert read(question, TODAY).sessions == (Sessions(first, last),)


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
def test_what_only_looks_like_a_time_means_none(question: str) -> None:
    assert not read(question, TODAY)


@pytest.mark.parametrize(
    ("language", "question", "english"),
    [
        ("de", "Was war letzten Dienstag?", "last Tuesday"),
        ("de", "Was haben wir am Mittwoch vor drei Wochen verkauft?", "on Wednesday 3 weeks ago"),
        ("de", "Was war in der Woche nach Pfingsten?", "the week after Pentecost"),
        ("de", "Was geschah in der ersten Augusthälfte?", "the first half of August"),
        ("de", "Was war zwischen dem 3. und dem 10. Mai?", "from 3 May to 10 May"),
        ("es", "¿Qué dije el martes pasado?", "last Tuesday"),
        ("es", "¿Qué pasó hace dos semanas?", "2 weeks ago"),
        ("es", "¿Qué vendí a finales de agosto del año pasado?", "end of August last year"),
        ("es", "¿Qué hice al día siguiente de Navidad?", "the day after Christmas"),
        ("es", "¿De qué hablamos en la última conversación?", "the last conversation"),
        ("ru", "Что я говорила неделю назад?", "1 week ago"),
        ("ru", "Что было в прошлый вторник?", "last Tuesday"),
        ("ru", "Что было в первых числах ноября?", "start of November"),
        ("ru", "О чём был предпоследний разговор?", "2 sessions ago"),
        ("ru", "Что было с 3 по 10 мая?", "from 3 May to 10 May"),
        ("zh", "上周二我说了什么?", "Tuesday of last week"),
        ("zh", "两周前我们聊了什么?", "2 weeks ago"),
        ("zh", "复活节后的那一周我做了什么?", "the week after Easter"),
        ("zh", "去年八月中旬我买了什么?", "middle of August last year"),
        ("zh", "2024年5月3日我说了什么?", "3 May 2024"),
        ("zh", "上次聊天说了什么?", "last conversation"),
    ],
)
def test_other_languages_mean_what_english_means(
    language: str, question: str, english: str
) -> None:
    found, expected = read(question, TODAY, [language]), read(english, TODAY)
    assert (found.periods, found.sessions) == (expected.periods, expected.sessions)
    assert found


def test_easter_is_that_of_the_language() -> None:
    (period,) = read("Что было на Пасху?", TODAY, ["ru"]).periods
    assert period.first == date(2024, 5, 5)


@given(st.sampled_from(sorted(LANGUAGES)), st.text(max_size=80))
def test_each_english_word_comes_from_a_stretch_of_the_question(language: str, text: str) -> None:
    rendered = in_english(text, language)
    assert all(0 <= start <= end <= len(text) for _, _, start, end in rendered.places)
    assert len(read(text, TODAY, [language]).without(text)) == len(text)


@pytest.mark.parametrize(
    ("question", "event", "first", "last"),
    [
        ("How did I feel the morning after the half marathon?", "half marathon", 11, 11),
        ("What hurt two weeks before Chester?", "Chester", -7, -1),
        ("How was he on the day he was operated on?", "he was operated on", 10, 10),
        ("What did we say the day after the summer concert?", "summer concert", 11, 11),
        ("What did I buy shortly after we moved?", "we moved", 11, 20),
    ],
)
def test_a_time_is_said_by_what_happened_then(
    question: str, event: str, first: int, last: int
) -> None:
    (span,) = events(question)
    assert question[slice(*span)] == event
    reference = read(question, TODAY, happened={span: date(2024, 10, 10)})
    before = date(2024, 9, 30)
    assert reference.periods == (
        Period(before + timedelta(days=first), before + timedelta(days=last)),
    )
    assert event in reference.without(question)


@pytest.mark.parametrize(
    ("language", "question", "event"),
    [
        ("de", "Was geschah am Tag nach der Prüfung?", "Prüfung"),
        ("es", "¿Qué pasó dos semanas antes de la boda?", "boda"),
        ("ru", "Что было на следующий день после экзамена?", "экзамена"),
        ("de", "Wer stand vor dem Haus?", None),
        ("en", "Who looks after my cat?", None),
        ("en", "What is the day of the week?", None),
        ("en", "What was the plan before Easter?", None),
        ("en", "What did I eat the day before yesterday?", None),
    ],
)
def test_an_event_is_told_from_a_date_and_a_place(
    language: str, question: str, event: str | None
) -> None:
    found = [question[slice(*span)] for span in events(question, [language])]
    assert found == ([event] if event else [])


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Surgery is on Tuesday 13 August", date(2024, 8, 13)),
        ("the concert is on the 29th", date(2024, 7, 29)),
        ("my exam is on the 3rd", date(2024, 8, 3)),
    ],
)
def test_what_is_announced_is_to_come(text: str, day: date) -> None:
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
    reference = read(text, TODAY)
    assert all(period.first <= period.last for period in reference.periods)
    assert len(reference.without(text)) == len(text)


@pytest.mark.parametrize(
    ("question", "only"),
    [
        ("What did we talk about last Tuesday?", True),
        ("Summarize what we discussed in our second session.", True),
        ("What did we say about the boiler last Tuesday?", False),
        ("What did we talk about?", False),
    ],
)
def test_a_question_about_nothing_but_a_time_is_told_from_others(
    question: str, *, only: bool
) -> None:
    assert is_only_time(question, read(question, TODAY)) is only


def test_days_are_those_of_the_asker() -> None:
    late = micros(datetime(2025, 3, 11, 23, 30, tzinfo=UTC))
    reference = read("What did I say yesterday?", TODAY)
    assert meant(reference, late, NOW).tolist() == [True]
    assert meant(reference, late, NOW.astimezone(timezone(timedelta(hours=2)))).tolist() == [False]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_each_turn_is_of_one_session(gaps: list[int]) -> None:
    pause = (SESSION_PAUSE_SECONDS + 1) * MICROSECONDS
    times = np.cumsum(np.array(gaps, np.int64)) * pause
    sessions = 1 + np.cumsum(np.array(gaps[1:], np.int64) > 0)
    for number in range(1, int(sessions[-1]) + 1 if len(sessions) else 2):
        asked = read(f"What did we discuss in session {number}?", TODAY)
        expected = [number == 1, *(sessions == number).tolist()]
        assert meant(asked, times, NOW).tolist() == expected


def test_where_nothing_was_said_on_the_last_saturday_the_one_before_is_meant() -> None:
    said = micros(datetime(2025, 3, 1, 9, tzinfo=UTC), datetime(2025, 3, 10, 9, tzinfo=UTC))
    assert meant(read("What was up last Saturday?", TODAY), said, NOW).tolist() == [True, False]


def test_earlier_today_leaves_out_the_session_that_is_going_on() -> None:
    said = micros(NOW - timedelta(hours=7), NOW - timedelta(minutes=3))
    assert meant(read("What did we say earlier today?", TODAY), said, NOW).tolist() == [True, False]
