"""Checks of passages: their spans, postings, totals and vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from memory_service.conversations.echo import indexed_spans
from memory_service.core.models import Conversation, Finding, StoredPassage, Turn, Vector
from memory_service.core.protocols import Embedder
from memory_service.maintenance.vector_comparison import INDEX_TOLERANCE, differ
from memory_service.text.chunking import passage_text
from memory_service.text.spans import Span
from memory_service.text.terms import terms
from memory_service.turn_log.transactions import ReadTransaction


class PassageChecks:
    """Derives the passages of turns again, with the settings that they were made with."""

    def __init__(
        self, embedder: Embedder | None, dimension: int, *, words: int, overlap: int
    ) -> None:
        self._embedder = embedder
        self._dimension = dimension
        self._words = words
        self._overlap = overlap

    def check(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        turns: Sequence[Turn],
        passages: Sequence[StoredPassage],
    ) -> Iterator[Finding]:
        """Check the passages of a conversation."""
        by_key = {turn.key: turn for turn in turns}
        texts = {passage.key: _text(passage, by_key[passage.turn_key]) for passage in passages}
        yield from self._spans(turns, passages)
        totals = len(passages), sum(passage.length for passage in passages)
        if totals != snapshot.passages.totals(conversation.key):
            yield Finding("passages", conversation.id, "the totals differ from the passages")
        yield from _postings(snapshot, conversation, passages, texts, by_key)
        yield from self._vectors(passages, texts, by_key)

    def _spans(self, turns: Sequence[Turn], passages: Sequence[StoredPassage]) -> Iterator[Finding]:
        stored: dict[int, list[StoredPassage]] = {}
        for passage in sorted(passages, key=lambda passage: passage.ordinal):
            stored.setdefault(passage.turn_key, []).append(passage)
        for turn in turns:
            windows = indexed_spans(
                turn.text, turn.metadata, words=self._words, overlap=self._overlap
            )
            spans = [(passage.start, passage.end) for passage in stored.get(turn.key, ())]
            if spans != [(window.start, window.end) for window in windows]:
                yield Finding("passages", turn.id, "passages differ from the text's windows")

    def _vectors(
        self,
        passages: Sequence[StoredPassage],
        texts: Mapping[int, str],
        turns: Mapping[int, Turn],
    ) -> Iterator[Finding]:
        for passage in passages:
            if passage.vector is not None and not self._is_usable(passage.vector):
                yield Finding("vectors", turns[passage.turn_key].id, "vector is not usable")
        if self._embedder is None or not passages:
            return
        derived = self._embedder.embed_documents([texts[passage.key] for passage in passages])
        for passage, vector in zip(passages, derived, strict=True):
            if differ(vector, passage.vector):
                yield Finding("vectors", turns[passage.turn_key].id, "vector differs from the text")

    def _is_usable(self, vector: Vector) -> bool:
        length = float(np.linalg.norm(vector))
        return vector.shape == (self._dimension,) and abs(length - 1) < INDEX_TOLERANCE


def _text(passage: StoredPassage, turn: Turn) -> str:
    return passage_text(turn.speaker, turn.text, Span(passage.start, passage.end))


def _postings(
    snapshot: ReadTransaction,
    conversation: Conversation,
    passages: Sequence[StoredPassage],
    texts: Mapping[int, str],
    turns: Mapping[int, Turn],
) -> Iterator[Finding]:
    """Check the terms of each passage, and that no other passage has terms."""
    stored = snapshot.postings.term_counts(conversation.key)
    for passage in passages:
        derived = Counter(terms(texts[passage.key], conversation.language))
        if derived != stored.pop(passage.key, {}) or derived.total() != passage.length:
            yield Finding("postings", turns[passage.turn_key].id, "terms differ from the text")
    for key in stored:
        yield Finding("postings", f"passage {key}", "terms of a passage that does not exist")
