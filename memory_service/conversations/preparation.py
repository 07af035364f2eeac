"""What storing needs of a text, worked out before the transaction: language, passages, vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memory_service.conversations.echo import indexed_windows
from memory_service.core.models import NewTurn, Passage, Vector
from memory_service.core.protocols import Embedder
from memory_service.text.chunking import passage_text
from memory_service.text.languages import detect_language
from memory_service.text.terms import terms

UNDETERMINED = "und"
"""The language of a conversation whose first texts told nothing; its words are kept as they are."""

SAMPLE_TURNS = 50
"""Turns that the language of a conversation is read from, as far as `_SAMPLE_CHARS` reach."""

_SAMPLE_CHARS = 2_000

_Key = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """The language of a conversation, None if not known yet, and the passages of each turn.

    They are found by the turn's id and content: an export may hold an id twice. A turn that holds
    nothing to embed has an entry without passages.
    """

    language: str | None
    passages: Mapping[_Key, Sequence[Passage]]

    def is_for(self, language: str | None, turns: Iterable[NewTurn]) -> bool:
        """Return whether it was made of these turns, in a conversation of this language."""
        same = language is None or language == self.language
        return same and all(_key(turn) in self.passages for turn in turns)

    def of(self, turn: NewTurn) -> Sequence[Passage]:
        """Return the passages of a turn that it is for."""
        return self.passages[_key(turn)]


class Planner:
    """Cuts turns into passages, makes their terms and, if the embedder is here, their vectors.

    Safe for threads; touches no log.
    """

    def __init__(
        self, embedder: Embedder | None, *, passage_words: int, passage_overlap_words: int
    ) -> None:
        self._embedder = embedder if embedder is not None and embedder.embeds_with_write else None
        self._words = passage_words
        self._overlap = passage_overlap_words

    def plan(self, turns: Sequence[NewTurn], language: str | None = None, sample: str = "") -> Plan:
        """Return the plan of turns of one conversation; their text is read as it is, never cut.

        Where its language is not known it is detected, in `sample` (what was said before) and in
        the turns.
        """
        if language is None:
            language = _language_of(sample, turns)
        # Of turns that say the same under one id the first is stored, and no other.
        wanted = {_key(turn): turn for turn in reversed(turns)}
        cut = [
            (key, turn, number, window)
            for key, turn in wanted.items()
            for number, window in enumerate(
                indexed_windows(turn.text, turn.metadata, words=self._words, overlap=self._overlap)
            )
        ]
        texts = [
            passage_text(turn.name or turn.role, turn.text, window) for _, turn, _, window in cut
        ]
        vectors: Sequence[Vector | None] = [None] * len(texts)
        if self._embedder is not None:
            vectors = self._embedder.embed_documents(texts)
        passages: dict[_Key, list[Passage]] = {key: [] for key in wanted}
        for (key, _, number, window), text, vector in zip(cut, texts, vectors, strict=True):
            found = terms(text, language)
            passages[key].append(
                Passage(number, window.start, window.end, Counter(found), len(found), vector)
            )
        return Plan(language, passages)


def _language_of(sample: str, turns: Sequence[NewTurn]) -> str | None:
    text = "\n".join([sample, *(turn.text[:_SAMPLE_CHARS] for turn in turns[:SAMPLE_TURNS])])
    found = detect_language(text[:_SAMPLE_CHARS])
    return found or (UNDETERMINED if len(text) >= _SAMPLE_CHARS else None)


def _key(turn: NewTurn) -> _Key:
    return turn.id, turn.content_hash
