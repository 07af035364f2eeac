"""Which messages call for memory."""

from __future__ import annotations

import pytest

from memory_service.relevance import calls_for_memory

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
        ("👍", "en"),
        ("", "en"),
    ],
)
def test_small_talk_calls_for_none(text: str, language: str | None) -> None:
    assert not calls_for_memory(text, [language], WEIGHTS, KNOWN, best=5.0)


@pytest.mark.parametrize(
    "text",
    [
        "Which locker is mine?",
        "What did you recommend for the floor?",
        "When does Jule arrive?",
        "thanks, and what was my locker again?",
    ],
)
def test_what_is_about_somebody_calls_for_memory(text: str) -> None:
    assert calls_for_memory(text, ["en"], WEIGHTS, KNOWN, best=0.0)


@pytest.mark.parametrize(("best", "expected"), [(0.0, False), (1.0, False), (6.0, True)])
def test_an_impersonal_request_needs_a_turn_that_shares_its_weight(
    best: float, *, expected: bool
) -> None:
    text = "Write a haiku about autumn"
    assert calls_for_memory(text, ["en"], WEIGHTS, KNOWN, best) is expected


def test_a_language_without_a_list_is_asked_for_its_words_only() -> None:
    assert calls_for_memory("Який код від шафки?", ["uk"], {}, set(), best=0.0)
