"""The word lists and rules of the package are well-formed and readable."""

import re
from datetime import date
from string import Formatter

import pytest

from memory_service.core.data_files import read_toml
from memory_service.dates.english import MONTHS, NUMBERS, ORDINALS, WEEKDAYS, number_value
from memory_service.dates.expressions import time_reference
from memory_service.dates.holidays import Holiday, holidays
from memory_service.dates.translation import TranslatedWord, _in_order
from memory_service.dates.vocabularies import (
    LANGUAGES,
    UNRELATED,
    vocabulary,
    word_order_rules,
    words_without_time,
)
from memory_service.text.spans import Span

PACKAGE = "memory_service.dates"
VOCABULARIES = {
    name: read_toml(PACKAGE, f"{name}.toml") for name in ("german", "spanish", "russian", "chinese")
}
TALK = read_toml(PACKAGE, "talk.toml")
TODAY = date(2025, 3, 12)
UNREAD = ["end of the month", "half of the month", "start of the month"]
"""Translations that the grammar does not know: it has a current year, but no current month."""
SAMPLES = {"digits": "3", "number": "3", "unit": "week", "weekday": "Monday", "month": "May"}
CONTEXTS = (
    "_ {}",
    "_ on {}",
    "_ last {}",
    "_ {} month",
    "_ {} weeks ago",
    "_ 2 week {}",
    "_ {} 2 week",
    "_ {} May",
    "_ 3 May {} 5 May",
    "_ {} 3 May and 5 May",
    "_ {} week of May",
    "_ the {} after Easter",
    "_ second {} May",
    "_ Easter {}",
    "_ the {} Easter",
    "_ May {}",
    "_ {} session",
)
"""English texts in which a translated word is part of a time; "_" is a word without one."""


def in_order(english: str) -> str:
    words = [TranslatedWord(word, Span(0, 0)) for word in english.split()]
    for rule in word_order_rules():
        words = _in_order(words, rule)
    return " ".join(word.english for word in words)


def is_read(english: str) -> bool:
    """Return whether the grammar takes all words of an English text as a time, except "_"."""
    text = in_order(english)
    return set(time_reference(text, TODAY).without(text).split()) <= {UNRELATED}


def translations() -> list[str]:
    """Return the English of all vocabularies, with samples in place of fields."""
    english = {
        word[1].format_map(SAMPLES) for data in VOCABULARIES.values() for word in data["words"]
    }
    return sorted(english - words_without_time())


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabulary_has_known_keys_and_no_duplicates(name: str) -> None:
    data = VOCABULARIES[name]
    assert set(data) == {"words"} | (
        {"fragments", "digits", "units"} if name == "chinese" else set()
    )
    patterns = [pattern for pattern, _ in data["words"]]
    assert sorted(set(patterns)) == sorted(patterns)
    assert [pattern for pattern in patterns if pattern != pattern.lower()] == []


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabulary_patterns_have_no_groups(name: str) -> None:
    assert [
        pattern for pattern, _ in VOCABULARIES[name]["words"] if re.search(r"\((?!\?)", pattern)
    ] == []


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_vocabulary_has_an_english_for_each_group(language: str) -> None:
    words = vocabulary(language)
    assert words.pattern.groups == len(words.english)
    fields = {field for english in words.english for _, field, _, _ in Formatter().parse(english)}
    assert fields - {None} <= set(words.fields)


def test_translations_are_read_in_some_context() -> None:
    unread = [
        english
        for english in translations()
        if not any(is_read(context.format(english)) for context in CONTEXTS)
    ]
    assert unread == UNREAD


def test_word_order_rules_have_unique_names_and_known_fields() -> None:
    rules = word_order_rules()
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        fields = {field for _, field, _, _ in Formatter().parse(rule.english) if field}
        assert fields == set(rule.pattern.groupindex), rule.name


def test_english_names_are_complete() -> None:
    assert [date(2024, number, 1).strftime("%B") for number in range(1, 13)] == list(MONTHS)
    assert [date(2024, 1, day).strftime("%A") for day in range(1, 8)] == list(WEEKDAYS)


@pytest.mark.parametrize(("word", "value"), [*NUMBERS.items(), *ORDINALS.items()])
def test_number_has_its_value(word: str, value: int) -> None:
    assert number_value(word.upper()) == value


@pytest.mark.parametrize("holiday", holidays().values(), ids=lambda holiday: holiday.name)
def test_holiday_is_read_by_its_name(holiday: Holiday) -> None:
    (period,) = time_reference(holiday.name.replace("_", " "), TODAY).periods
    assert period in {holiday.period(2024), holiday.period(2025)}
    assert period.first <= TODAY


@pytest.mark.parametrize("holiday", holidays().values(), ids=lambda holiday: holiday.name)
def test_holiday_has_one_anchor_and_days_in_order(holiday: Holiday) -> None:
    anchors = {"date", "easter", "nth_weekday", "months"} & set(holiday.rule)
    assert len(anchors) == 1
    assert set(holiday.rule) - anchors <= {"pattern", "days"}
    for year in range(1990, 2060):
        first, last, _ = holiday.period(year)
        assert first <= last
        assert year in {first.year, last.year}


def test_holidays_have_the_days_of_the_calendar() -> None:
    days = {name: holiday.period(2024) for name, holiday in holidays().items()}
    assert days["easter"].first == date(2024, 3, 31)
    assert days["orthodox_easter"].first == date(2024, 5, 5)
    assert days["thanksgiving"][:2] == (date(2024, 11, 26), date(2024, 12, 1))
    assert days["winter"][:2] == (date(2023, 12, 1), date(2024, 2, 29))


@pytest.mark.parametrize("language", TALK["talk"])
def test_words_about_talk_are_listed_once(language: str) -> None:
    text = TALK["talk"][language]
    words = list(text) if language == "zh" else text.split()
    assert sorted(set(words)) == sorted(words)
    assert text == text.lower()


def test_talk_has_a_list_for_each_language() -> None:
    assert set(TALK) == {"talk", "tomorrow"}
    assert set(TALK["talk"]) == set(TALK["tomorrow"]) == LANGUAGES | {"en"}
