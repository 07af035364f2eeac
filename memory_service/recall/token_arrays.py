"""What texts say, whatever they are asked: their words, and the cues of an answer. Pure.

A question is compared with some 300 turns, word by word; read anew, these took longer than all else
of a recall. So text is taken apart at its spaces, and a chunk that was read before is a number:
what it says stands in tables, and the rest is arithmetic on arrays. Speech is Zipfian: most chunks
have been read before, in whatever conversation. Which turn said what is not kept, so a deletion
changes nothing here.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Matrix
from memory_service.recall import answer_types
from memory_service.recall.matching import Texts, Word, WordVectors
from memory_service.text.terms import chunk_words

MAX_BYTES = 48 * 1024 * 1024
"""The 12,000 turns of LoCoMo, REALTALK, BEAM-100K and TMD take 35 MB: 53,000 different chunks of
19,000 words, whose vectors are 20 MB of that.
"""

# Beside a cue's kinds in the flags of a chunk.
_ENDS, _ASKS = 64, 128
# Measured with tracemalloc: what the tables hold for one, its own characters apart.
_CHUNK_BYTES, _WORD_BYTES = 150, 300

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Facts:
    """What some texts say, a value a text: `kinds` of answer as bits of `cues`, see `Reading`."""

    words: Texts
    kinds: list[int]
    lengths: list[float]
    asks: list[bool]


class Lexicon:
    """The chunks that were read before. Safe for several threads; when full it begins anew."""

    def __init__(self, vectors: WordVectors, max_bytes: int = MAX_BYTES) -> None:
        self.vectors = vectors
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tables = _Tables(vectors)

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return self._tables.size

    def read(
        self,
        texts: Sequence[tuple[str, str | None]],
        terms: Collection[str] = (),
        no_names: Collection[str] = (),
    ) -> Facts:
        """Return what texts say, each given with the language that it is analysed in.

        `terms` are those that will be looked for; `no_names` are folded words that are no name.
        """
        with self._lock:
            # What one call brings is bounded by the candidates of a recall.
            if self._tables.size > self._max_bytes:
                self._tables = _Tables(self.vectors)
            return self._tables.read(texts, terms, no_names)


class _Chunks(dict[str, int]):
    """The numbers of one language's chunks; one that is new is read."""

    def __init__(self, tables: _Tables, language: str | None) -> None:
        self._tables = tables
        self._language = language

    def __missing__(self, chunk: str) -> int:
        number = self[chunk] = self._tables.add(chunk, self._language)
        return number


class _Tables:
    """A row a chunk: its flags, its name (0: none), and where its words are; a row a word."""

    def __init__(self, vectors: WordVectors) -> None:
        self.size = 0
        self._vectors_of = vectors
        self._chunks: dict[str | None, _Chunks] = {}
        self._flags = array("B")
        self._names = array("q")
        self._known_names = {"": 0}
        self._bounds = array("q", [0])
        self._words = array("q")
        self._known_words: dict[Word, int] = {}
        self._of_term: dict[str, list[int]] = {}
        self._without_vector: list[str] = []
        self._vectors: Matrix | None = np.empty((0, 0), dtype=np.float32)

    def add(self, chunk: str, language: str | None) -> int:
        """Read a chunk; return its number."""
        answers = answer_types.chunk_answers(chunk)
        ends, asks = _ENDS * answers.ends_sentence, _ASKS * answer_types.is_question(chunk)
        self._flags.append(answers.types | ends | asks)
        self._names.append(self._known_names.setdefault(answers.name, len(self._known_names)))
        self._words.extend([self._word(word) for word in chunk_words(chunk, language)])
        self._bounds.append(len(self._words))
        self.size += _CHUNK_BYTES + len(chunk)
        return len(self._flags) - 1

    def _word(self, word: Word) -> int:
        known = self._known_words.get(word)
        if known is not None:
            return known
        number = self._known_words[word] = len(self._known_words)
        self._of_term.setdefault(word[0], []).append(number)
        self._without_vector.append(word[1])
        self.size += _WORD_BYTES
        return number

    def read(
        self,
        texts: Sequence[tuple[str, str | None]],
        terms: Collection[str],
        no_names: Collection[str],
    ) -> Facts:
        """Return what texts say."""
        split = [text.split() for text, _ in texts]
        found: list[int] = []
        for chunks, (_, language) in zip(split, texts, strict=True):
            if language not in self._chunks:
                self._chunks[language] = _Chunks(self, language)
            found.extend(map(self._chunks[language].__getitem__, chunks))
        numbers = np.array(found, dtype=np.intp)
        text_of = np.repeat(np.arange(len(texts)), [len(chunks) for chunks in split])
        flags = np.frombuffer(self._flags, np.uint8)[numbers]
        kinds = np.zeros(len(texts), dtype=np.uint8)
        np.bitwise_or.at(kinds, text_of, flags)
        kinds[self._names_in(numbers, flags, text_of, no_names)] |= answer_types.NAME
        words, lengths = self._words_of(numbers, text_of, len(texts))
        return Facts(
            self._texts(words, lengths, terms),
            (kinds & ~np.uint8(_ENDS | _ASKS)).tolist(),
            [math.log1p(length) for length in lengths.tolist()],
            (kinds & _ASKS > 0).tolist(),
        )

    def _names_in(
        self,
        chunks: Places,
        flags: npt.NDArray[np.uint8],
        text_of: Places,
        no_names: Collection[str],
    ) -> Places:
        """Return the texts that hold a name; what begins a sentence is none."""
        is_name = np.ones(len(self._known_names), dtype=np.bool_)
        is_name[[0, *(self._known_names.get(name, 0) for name in no_names)]] = False
        inside = np.zeros(len(chunks), dtype=np.bool_)
        inside[1:] = (text_of[1:] == text_of[:-1]) & (flags[:-1] & _ENDS == 0)
        names = np.frombuffer(self._names, np.int64)[chunks]
        return text_of[inside & is_name[names]]

    def _words_of(self, chunks: Places, text_of: Places, texts: int) -> tuple[Places, Places]:
        """Return the numbers of all words in reading order, and how many each text has."""
        bounds = np.frombuffer(self._bounds, np.int64)
        first, counts = bounds[chunks], bounds[chunks + 1] - bounds[chunks]
        ends = np.cumsum(counts)
        places = np.repeat(first - ends + counts, counts) + np.arange(counts.sum())
        lengths = np.zeros(texts, dtype=np.intp)
        np.add.at(lengths, text_of, counts)
        return np.frombuffer(self._words, np.int64)[places], lengths

    def _texts(self, words: Places, lengths: Places, terms: Collection[str]) -> Texts:
        """Return the words laid out, numbered anew in the order in which they first occur."""
        first = np.full(len(self._known_words), -1, dtype=np.intp)
        # Of equal places the last that is written stays.
        first[words[::-1]] = np.arange(len(words) - 1, -1, -1)
        known = words[first[words] == np.arange(len(words))]
        place = np.full(len(self._known_words), -1, dtype=np.intp)
        place[known] = np.arange(len(known))
        of_term = {
            term: [int(place[one]) for one in self._of_term.get(term, ()) if place[one] >= 0]
            for term in terms
        }
        return Texts(place[words], lengths, of_term, self._vectors_at(known))

    def _vectors_at(self, words: Places) -> Matrix | None:
        """Return the vectors of words, after those of new words were made."""
        if self._without_vector and self._vectors is not None:
            self._vectors = self._with_new(self._vectors, len(self._known_words))
            self._without_vector.clear()
        return None if self._vectors is None else self._vectors[words]

    def _with_new(self, before: Matrix, total: int) -> Matrix | None:
        fresh = self._vectors_of(self._without_vector)
        if fresh is None:
            return None
        known = total - len(fresh)
        if total > len(before):
            grown = np.empty((total + total // 4, fresh.shape[1]), dtype=np.float32)
            grown[:known] = before[:known] if known else 0.0
            before = grown
        before[known:total] = fresh
        self.size += fresh.nbytes
        return before
