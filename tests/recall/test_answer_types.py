"""The expressions of answer types are well-formed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from memory_service.core.data_files import read_toml
from memory_service.recall.answer_types import asked_types, chunk_answers
from memory_service.text.languages import SUPPORTED_LANGUAGES

DATA = read_toml("memory_service.recall", "answer_types.toml")
TYPES = {"asked": {"time", "number", "name"}, "offered": {"time", "number"}}


def expression_lists() -> Iterator[tuple[str, dict[str, list[str]]]]:
    for table, types in TYPES.items():
        for name in types:
            yield f"{table}.{name}", DATA[table][name]
    yield "about_assistant", DATA["about_assistant"]


LISTS = dict(expression_lists())


def test_answer_types_have_the_known_tables() -> None:
    assert set(DATA) == {*TYPES, "about_assistant"}
    assert {table: set(DATA[table]) for table in TYPES} == TYPES


@pytest.mark.parametrize("name", sorted(LISTS))
def test_expressions_are_listed_once_for_a_supported_language(name: str) -> None:
    assert set(LISTS[name]) <= SUPPORTED_LANGUAGES | {"unspaced"}
    for expressions in LISTS[name].values():
        assert expressions
        assert sorted(set(expressions)) == sorted(expressions)


@pytest.mark.parametrize("name", sorted(LISTS))
def test_expressions_compile_and_match_some_text(name: str) -> None:
    for expressions in LISTS[name].values():
        assert not any(re.compile(expression).search("") for expression in expressions)


def test_word_of_several_languages_counts_once() -> None:
    assert asked_types("quando?") == asked_types("when?")
    assert chunk_answers("gestern,").types == chunk_answers("yesterday").types
