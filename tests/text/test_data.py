"""The word lists of the package are well-formed."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from memory_service.core.data_files import read_toml
from memory_service.text import small_talk
from memory_service.text.languages import SUPPORTED_LANGUAGES
from memory_service.text.stop_words import stop_words
from memory_service.text.terms import terms

PACKAGE = "memory_service.text"
STOP_WORDS = read_toml(PACKAGE, "stop_words.toml")
ELISIONS = read_toml(PACKAGE, "elisions.toml")
SMALL_TALK = read_toml(PACKAGE, "small_talk.toml")
LISTS = {
    **{f"stop_words {language}": words for language, words in STOP_WORDS.items()},
    **{f"elisions {language}": words for language, words in ELISIONS.items()},
    **{
        f"small_talk {table} {key}": words
        for table, lists in SMALL_TALK.items()
        for key, words in lists.items()
    },
}


@pytest.mark.parametrize("name", LISTS)
def test_word_list_is_lower_case_without_duplicates(name: str) -> None:
    words = LISTS[name].split()
    assert words
    assert sorted(set(words)) == sorted(words)
    assert LISTS[name] == LISTS[name].lower()


@pytest.mark.parametrize("lists", [STOP_WORDS, ELISIONS, SMALL_TALK["phatic"]])
def test_word_lists_are_of_supported_languages(lists: dict[str, str]) -> None:
    assert set(lists) <= SUPPORTED_LANGUAGES


@pytest.mark.parametrize("language", STOP_WORDS)
def test_stop_words_yield_no_terms(language: str) -> None:
    assert terms(STOP_WORDS[language], language) == []
    assert stop_words(language) >= set(STOP_WORDS[language].split())


def test_small_talk_has_the_known_tables() -> None:
    assert set(SMALL_TALK) == {"phatic", "filler", "unspaced"}
    assert set(SMALL_TALK["unspaced"]) == {"phatic", "filler"}
    assert set(SMALL_TALK["phatic"]) == set(SMALL_TALK["filler"]) == small_talk.languages()


@pytest.mark.parametrize("language", SMALL_TALK["phatic"])
def test_small_talk_word_is_phatic_or_filler(language: str) -> None:
    phatic, filler = (set(SMALL_TALK[table][language].split()) for table in ("phatic", "filler"))
    assert phatic & filler == set()


@pytest.mark.parametrize("language", SMALL_TALK["phatic"])
def test_small_talk_leaves_nothing_over(language: str) -> None:
    words = chain(SMALL_TALK["phatic"][language].split(), SMALL_TALK["filler"][language].split())
    assert small_talk.leftover(" ".join(words), language) == (set(), True)


def test_unspaced_small_talk_has_no_latin_letters() -> None:
    assert re.search("[a-z]", "".join(SMALL_TALK["unspaced"].values())) is None
