"""Answer types: what kind of thing a question asks for, and what kinds of things a text offers.

The types are a time, a number and a name. The words that indicate them are in
`data/answer_types.toml`: short lists for some languages, used for texts in any language. A question
in another language has no answer type and is ranked by its words and its vector alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from memory_service.core.data_files import read_toml

TIME, NUMBER, NAME = 1, 2, 4
"""The answer types, as bits: a set of them is their sum."""

_TYPES = {"time": TIME, "number": NUMBER, "name": NAME}
_UNSPACED = "unspaced"
"""The key of the expressions of scripts without spaces, which have no word boundaries."""

_WORD = re.compile(r"\w+")
_SENTENCE_ENDS = '.!?…:"”)'
_MARKS = ".,;:!?…\"'“”«»()[]*"
_QUESTION_MARKS = "?\N{FULLWIDTH QUESTION MARK}\N{ARABIC QUESTION MARK}"

_TypePatterns = tuple[tuple[int, re.Pattern[str]], ...]


class ChunkAnswers(NamedTuple):
    """What a chunk (text without spaces) offers as an answer.

    `types` are the answer types as bits, without `NAME`. `name` is the folded word if it may be a
    name: it has a capital, which counts inside a sentence only. In German every noun has a capital,
    so a capital says little there. `ends_sentence` says whether a sentence ends with the chunk.
    """

    types: int
    name: str
    ends_sentence: bool


def asked_types(question: str) -> int:
    """Return the answer types that a question asks for, as bits."""
    return _matching_types(question, _patterns("asked"))


def chunk_answers(chunk: str) -> ChunkAnswers:
    """Return what a chunk offers as an answer."""
    word = chunk.strip(_MARKS)
    name = word.casefold() if word[:1].isupper() and word[1:].islower() else ""
    types = _matching_types(chunk, _patterns("offered"))
    return ChunkAnswers(types, name, chunk[-1] in _SENTENCE_ENDS)


def is_question(text: str) -> bool:
    """Return whether a text asks something."""
    return any(mark in text for mark in _QUESTION_MARKS)


def name_words(speakers: Collection[str]) -> frozenset[str]:
    """Return the single words of the speakers' names, folded."""
    return frozenset(word for name in speakers for word in _WORD.findall(name.casefold()))


def named_speakers(question: str, speakers: Collection[str]) -> frozenset[str]:
    """Return those of the speakers that a question names, by any word of their name."""
    words = set(_WORD.findall(question.casefold()))
    return frozenset(name for name in speakers if words & name_words([name]))


def is_about_assistant(question: str) -> bool:
    """Return whether a question is about what the assistant said, not about who asks it."""
    return _about_assistant().search(question) is not None


def _matching_types(text: str, patterns: _TypePatterns) -> int:
    types = 0
    for answer_type, pattern in patterns:
        if pattern.search(text):
            types |= answer_type
    return types


@cache
def _patterns(table: str) -> _TypePatterns:
    """Return a pattern for each answer type of a table of the data file."""
    return tuple(
        (_TYPES[name], _whole_words(expressions)) for name, expressions in _data()[table].items()
    )


def _whole_words(expressions: Mapping[str, list[str]]) -> re.Pattern[str]:
    """Return a pattern of expressions that are whole words where a script separates words."""
    words = [
        expression
        for language, listed in expressions.items()
        if language != _UNSPACED
        for expression in listed
    ]
    return _any_of([rf"\b(?:{'|'.join(dict.fromkeys(words))})\b", *expressions.get(_UNSPACED, ())])


@cache
def _about_assistant() -> re.Pattern[str]:
    return _any_of(
        expression for listed in _data()["about_assistant"].values() for expression in listed
    )


def _any_of(expressions: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(expressions), re.IGNORECASE)


@cache
def _data() -> dict[str, Any]:
    return read_toml("memory_service.recall", "answer_types.toml")
