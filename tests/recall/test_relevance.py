"""Relevance: which messages call for memory."""

# ruff: noqa: RUF001 - letters of other scripts are intended

from __future__ import annotations

import re

import pytest

from memory_service.core.data_files import read_toml
from memory_service.recall.relevance import calls_for_memory
from memory_service.text import small_talk

WEIGHTS = {"locker": 3.0, "gym": 2.0, "haiku": 5.0, "autumn": 5.0, "write": 4.0, "jule": 3.0}
KNOWN = {"locker", "gym", "jule"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("thanks!", "en"),
        ("OK, perfect. See you tomorrow.", "en"),
        ("haha that's funny", None),
        ("Good morning! Lovely weather, isn't it?", "und"),
        ("Danke, bis morgen!", "de"),
        ("Merci beaucoup, à demain !", "fr"),
        ("¡Muchas gracias!", "es"),
        ("Спасибо, до завтра!", "ru"),
        ("谢谢你，晚安！", "zh"),
        ("Grazie mille!", "de"),
        ("Hahahaha", "tr"),
        ("Danke schön, du bist ein Held!", "de"),
        ("👍", "en"),
        ("", "en"),
    ],
)
def test_small_talk_does_not_call_for_memory(text: str, language: str | None) -> None:
    assert not calls_for_memory(text, [language], WEIGHTS, KNOWN, best=5.0)


@pytest.mark.parametrize(
    "text",
    [
        "Which locker is mine?",
        "What did you recommend for the floor?",
        "When does Jule arrive?",
        "thanks, and what was my locker again?",
        "Great, add my badge please",
        "Thanks, she likes tulips",
    ],
)
def test_personal_message_calls_for_memory(text: str) -> None:
    assert calls_for_memory(text, ["en"], WEIGHTS, KNOWN, best=0.0)


@pytest.mark.parametrize(("best", "expected"), [(0.0, False), (1.0, False), (6.0, True)])
def test_impersonal_request_needs_passage_that_shares_its_weight(
    best: float, *, expected: bool
) -> None:
    text = "Write a haiku about autumn"
    assert calls_for_memory(text, ["en"], WEIGHTS, KNOWN, best) is expected


@pytest.mark.parametrize(
    ("text", "language"),
    [("Спасибо, а какой у меня шкафчик?", "ru"), ("谢谢，我的柜子是几号？", "zh")],
)
def test_question_after_thanks_calls_for_memory(text: str, language: str) -> None:
    assert calls_for_memory(text, [language], WEIGHTS, KNOWN, best=0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Thanks, tulips.", False), ("Thanks, tulips?", True), ("Thanks, 12.", True)],
)
def test_thanks_with_unknown_words_call_for_memory_if_they_ask_or_count(
    text: str, *, expected: bool
) -> None:
    weights = {"tulip": 1.0, "12": 1.0}
    assert calls_for_memory(text, ["en"], weights, KNOWN, best=1.0) is expected


def test_long_text_is_not_checked_for_small_talk() -> None:
    assert calls_for_memory("thanks " * 200 + "locker", ["en"], WEIGHTS, KNOWN, best=3.0)


def test_message_in_language_without_word_lists_calls_for_memory() -> None:
    assert calls_for_memory("Який код від шафки?", ["uk"], {}, set(), best=0.0)


def test_personal_words_are_expressions_of_supported_languages() -> None:
    words = read_toml("memory_service.recall", "personal_words.toml")
    assert set(words) == small_talk.languages() | {"unspaced"}
    for expressions in words.values():
        assert len(set(expressions)) == len(expressions)
        assert not any(re.compile(expression).search("") for expression in expressions)
