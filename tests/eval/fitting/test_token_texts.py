"""The texts to which token factors are fitted."""

from __future__ import annotations

import pytest

from eval.fitting.token_texts import join_lines, load_languages
from memory_service.tokens.estimate import FACTORS


@pytest.mark.parametrize("language", load_languages())
def test_every_language_has_a_script_and_two_halves(language: str) -> None:
    texts = load_languages()[language]
    assert texts.script in {*FACTORS, "symbols"}
    assert all(any(part.strip() for part in texts.paragraphs[half::2]) for half in (0, 1))


def test_every_script_has_texts() -> None:
    fitted = set(FACTORS) - {"latin", "digits", "lines"}
    assert fitted <= {texts.script for texts in load_languages().values()}


@pytest.mark.parametrize(("language", "joined"), [("de", "a b c"), ("ja", "abc")])
def test_lines_are_joined_with_a_blank_where_the_language_has_blanks(
    language: str, joined: str
) -> None:
    assert join_lines(language, ["a\nb", "c"]) == joined
