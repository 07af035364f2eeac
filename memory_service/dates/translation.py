"""Times in German, Spanish, Russian and Chinese, translated to English for one grammar. Pure.

Each word for a time is translated by its language's vocabulary, and rules that all languages share
put the English words in order ("vor drei Wochen", "el mes pasado").

dateparser knows these languages, but returns one moment where a question means a period, and has no
holidays, parts of a month or sessions.
"""

from __future__ import annotations

from typing import NamedTuple

from memory_service.dates.vocabularies import (
    UNRELATED,
    WordOrderRule,
    vocabulary,
    word_order_rules,
    words_without_time,
)
from memory_service.text.spans import Span


class AlignedSpan(NamedTuple):
    """The span of a translation that came from a span of its source."""

    english: Span
    source: Span


class Translation(NamedTuple):
    """The times of a question in English; all its other words are `_`.

    The alignments are in order. A question that is in English already has none.
    """

    text: str
    alignments: tuple[AlignedSpan, ...]

    @classmethod
    def unchanged(cls, question: str) -> Translation:
        """Return a question that is in English."""
        return cls(question, ())

    def source(self, span: Span) -> Span:
        """Return the span of the question that a span of the translation came from."""
        if not self.alignments:
            return span
        sources = [
            source
            for english, source in self.alignments
            if english.start < span.end and span.start < english.end
        ]
        return Span(min(source.start for source in sources), max(source.end for source in sources))


class TranslatedWord(NamedTuple):
    """A word in English, and the span of the question that it came from."""

    english: str
    source: Span


_NOTHING = Translation(UNRELATED, (AlignedSpan(Span(0, 1), Span(0, 0)),))
_UNRELATED_START = TranslatedWord(UNRELATED, Span(0, 0))
"""The first word of every translation: at the start of a text, "May" counts as a verb."""


def translate(question: str, language: str) -> Translation:
    """Return the times that a question names in one of the `LANGUAGES`, in English."""
    words = _translated_words(question, language)
    if all(word.english in words_without_time() for word in words):
        return _NOTHING
    ordered = [_UNRELATED_START, *(word for word in words if word.english)]
    for rule in word_order_rules():
        ordered = _in_order(ordered, rule)
    return _joined(ordered)


def _translated_words(question: str, language: str) -> list[TranslatedWord]:
    words = vocabulary(language)
    lowered = question.lower()
    # A capital with two letters in lower case would shift the rest of the text.
    text = lowered if len(lowered) == len(question) else question
    return [
        TranslatedWord(words.translate(match), Span(*match.span()))
        for match in words.pattern.finditer(text)
    ]


def _joined(words: list[TranslatedWord]) -> Translation:
    """Return words as a text, with a space between them."""
    alignments = []
    start = 0
    for word in words:
        end = start + len(word.english)
        alignments.append(AlignedSpan(Span(start, end), word.source))
        start = end + 1
    return Translation(_text(words), tuple(alignments))


def _in_order(words: list[TranslatedWord], rule: WordOrderRule) -> list[TranslatedWord]:
    """Return words with each span that a rule matches as one word, in the rule's English."""
    text = _text(words)
    matches = list(rule.pattern.finditer(text))
    if not matches:
        return words
    result: list[TranslatedWord] = []
    for (start, end), source in _joined(words).alignments:
        match = next((hit for hit in matches if hit.start() < end and start < hit.end()), None)
        if match is None:
            result.append(TranslatedWord(text[start:end], source))
            continue
        # One word may be several English words, and a rule may match only some of these.
        if start <= match.start():
            opening = text[start : match.start()] + rule.english.format_map(match.groupdict())
            result.append(TranslatedWord(opening, source))
        rest = text[match.end() : end]
        last = result[-1]
        result[-1] = TranslatedWord(last.english + rest, Span(last.source.start, source.end))
    return result


def _text(words: list[TranslatedWord]) -> str:
    return " ".join(word.english for word in words)
