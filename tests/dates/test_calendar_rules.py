"""Each calendar rule reads its expressions."""

from datetime import date

import pytest

from memory_service.dates.calendar_rules import CALENDAR_RULES, CalendarRule

TODAY = date(2025, 3, 12)  # a Wednesday
EXAMPLES = {
    "iso_date": ("2024-11-09", "2024-11-09", "2024-11-09"),
    "month_and_day": ("July the twenty-first", "2024-07-21", "2024-07-21"),
    "day_and_month": ("the 3rd of February 2023", "2023-02-03", "2023-02-03"),
    "units_ago": ("the Monday 2 weeks ago", "2025-02-24", "2025-02-24"),
    "weekday_of_last_week": ("the Tuesday of last week", "2025-03-04", "2025-03-04"),
    "unit_before_last": ("the month before last", "2025-01-01", "2025-01-31"),
    "last_units": ("over the last two months", "2025-01-12", "2025-03-12"),
    "over_last_unit": ("during the past year", "2024-03-12", "2025-03-12"),
    "near_unit": ("this weekend", "2025-03-14", "2025-03-16"),
    "weekday": ("last Friday", "2025-03-07", "2025-03-07"),
    "holiday": ("the Easter holidays", "2024-03-31", "2024-03-31"),
    "month": ("past december", "2024-12-01", "2024-12-31"),
    "yesterday": ("the day before yesterday", "2025-03-10", "2025-03-10"),
    "other_day": ("just the other night", "2025-03-02", "2025-03-11"),
    "today": ("earlier this morning", "2025-03-12", "2025-03-12"),
    "year": ("the year 2021", "2021-01-01", "2021-12-31"),
}


def test_calendar_rules_have_unique_names_and_examples() -> None:
    names = [rule.name for rule in CALENDAR_RULES]
    assert names == list(EXAMPLES)


@pytest.mark.parametrize("rule", CALENDAR_RULES, ids=lambda rule: rule.name)
def test_calendar_rule_reads_its_example(rule: CalendarRule) -> None:
    text, first, last = EXAMPLES[rule.name]
    match = rule.pattern.fullmatch(text)
    assert match
    period = rule.period(match, TODAY)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)
