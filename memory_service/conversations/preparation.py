"""Prepare turns for storing, before the transaction begins: language, passages, terms, vectors.

A write transaction excludes all others, so slow work is done before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memory_service.conversations.echo import indexed_spans
from memory_service.core.models import NewTurn, Passage, Vector
from memory_service.core.protocols import Embedder
from memory_service.text.chunking import passage_text
from memory_service.text.languages import detect_language
from memory_service.text.spans import Span
from memory_service.text.terms import terms

UNDETERMINED = "und"
"""The language of a conversation whose texts have no known language; words are not stemmed."""

SAMPLE_TURNS = 50
"""The language of a conversation is detected in at most this many turns."""

_SAMPLE_CHARACTERS = 2_000
"""The language of a conversation is detected in at most this many characters."""

_TurnKey = tuple[str, bytes]
"""The id and the content hash of a turn: an export may contain an id twice."""


@dataclass(frozen=True, slots=True)
class PreparedTurns:
    """The passages of each turn, made for a conversation of one language (None: not known yet).

    A turn without text to embed has an entry without passages.
    """

    language: str | None
    passages: Mapping[_TurnKey, Sequence[Passage]]

    def covers(self, language: str | None, turns: Iterable[NewTurn]) -> bool:
        """Return whether these turns were prepared for a conversation of this language."""
        is_same_language = language is None or language == self.language
        return is_same_language and all(_key(turn) in self.passages for turn in turns)

    def passages_of(self, turn: NewTurn) -> Sequence[Passage]:
        """Return the passages of a turn that was prepared."""
        return self.passages[_key(turn)]


class _TurnSpan(NamedTuple):
    """A span of a turn that becomes its passage of this number."""

    turn: NewTurn
    number: int
    span: Span

    @property
    def text(self) -> str:
        return passage_text(self.turn.name or self.turn.role, self.turn.text, self.span)


class TurnPreparer:
    """Cuts turns into passages, makes their terms and, with a local embedder, their vectors.

    Safe for threads; does not use the log.
    """

    def __init__(
        self, embedder: Embedder | None, *, passage_words: int, passage_overlap_words: int
    ) -> None:
        self._embedder = embedder if embedder is not None and embedder.embeds_with_write else None
        self._words = passage_words
        self._overlap = passage_overlap_words

    def prepare(
        self, turns: Sequence[NewTurn], language: str | None = None, sample: str = ""
    ) -> PreparedTurns:
        """Return the prepared turns of one conversation.

        If its `language` is not known, it is detected in `sample` (its earlier texts) and in the
        turns.
        """
        language = language or _detected_language(sample, turns)
        # Of two turns with the same id and content the first is stored.
        distinct = {_key(turn): turn for turn in reversed(turns)}
        spans = [span for turn in distinct.values() for span in self._spans(turn)]
        texts = [span.text for span in spans]
        passages: dict[_TurnKey, list[Passage]] = {key: [] for key in distinct}
        for span, text, vector in zip(spans, texts, self._vectors(texts), strict=True):
            passages[_key(span.turn)].append(_passage(span, terms(text, language), vector))
        return PreparedTurns(language, passages)

    def _spans(self, turn: NewTurn) -> list[_TurnSpan]:
        spans = indexed_spans(turn.text, turn.metadata, words=self._words, overlap=self._overlap)
        return [_TurnSpan(turn, number, span) for number, span in enumerate(spans)]

    def _vectors(self, texts: Sequence[str]) -> Sequence[Vector | None]:
        """Return a vector per text; None where the indexer embeds it later."""
        if self._embedder is None:
            return [None] * len(texts)
        return self._embedder.embed_documents(texts)


def _passage(span: _TurnSpan, words: Sequence[str], vector: Vector | None) -> Passage:
    return Passage(span.number, span.span.start, span.span.end, Counter(words), len(words), vector)


def _detected_language(sample: str, turns: Sequence[NewTurn]) -> str | None:
    """Return the language; UNDETERMINED if a full sample has none, None if it needs more text."""
    text = "\n".join([sample, *(turn.text[:_SAMPLE_CHARACTERS] for turn in turns[:SAMPLE_TURNS])])
    language = detect_language(text[:_SAMPLE_CHARACTERS])
    return language or (UNDETERMINED if len(text) >= _SAMPLE_CHARACTERS else None)


def _key(turn: NewTurn) -> _TurnKey:
    return turn.id, turn.content_hash
