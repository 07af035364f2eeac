"""Times in other languages, translated to English."""

# ruff: noqa: RUF001 - letters of other scripts are intended

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_service.dates.expressions import time_reference
from memory_service.dates.translation import translate
from memory_service.dates.vocabularies import LANGUAGES

TODAY = date(2025, 3, 12)  # a Wednesday


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
def test_translated_question_means_the_same_time(
    language: str, question: str, english: str
) -> None:
    reference = time_reference(question, TODAY, [language])
    expected = time_reference(english, TODAY)
    assert (reference.periods, reference.sessions) == (expected.periods, expected.sessions)
    assert reference


def test_russian_easter_is_orthodox() -> None:
    (period,) = time_reference("Что было на Пасху?", TODAY, ["ru"]).periods
    assert period.first == date(2024, 5, 5)


@given(st.sampled_from(sorted(LANGUAGES)), st.text(max_size=80))
def test_alignments_lie_inside_the_question(language: str, text: str) -> None:
    sources = [source for _, source in translate(text, language).alignments]
    assert all(0 <= source.start <= source.end <= len(text) for source in sources)
    assert len(time_reference(text, TODAY, [language]).without(text)) == len(text)


def test_text_without_times_has_no_translation() -> None:
    assert translate("Wer ist das?", "de").text == "_"
