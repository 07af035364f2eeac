"""Token arrays: the words, answer types and lengths of texts, independent of the query.

A query is compared with some 300 turns, word by word; analysing them again took longer than the
rest of a recall. Text is split at its spaces into chunks. Each distinct chunk is analysed once and
gets a number; its words and answer types are rows of tables, and the rest is arithmetic on arrays.
A few chunks make up most of the text of conversations, so most have been analysed before.
The tables do not hold which turn a chunk is from, so a deletion changes nothing here.
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
from memory_service.recall.matching import Word, WordArrays, WordVectors
from memory_service.text.terms import chunk_words

MAX_BYTES = 48 * 1024 * 1024
"""The 12,000 turns of LoCoMo, REALTALK, BEAM-100K and TMD take 35 MB: 53,000 distinct chunks of
19,000 words, whose vectors are 20 MB of that.
"""

# Further bits of a chunk's flags, after its answer types.
_ENDS_SENTENCE, _ASKS = 64, 128
# Measured with tracemalloc: what the tables hold per row, without the characters of the chunk.
_CHUNK_BYTES, _WORD_BYTES = 150, 300

Numbers = npt.NDArray[np.intp]
"""Numbers of chunks, words or texts; shape (n,)."""


@dataclass(frozen=True, slots=True)
class TextArrays:
    """What several texts say, one value a text.

    `answer_types` are bits, see `answer_types`. `log_lengths` are ln(1 + words). `asks` says
    whether a text asks something.
    """

    words: WordArrays
    answer_types: list[int]
    log_lengths: list[float]
    asks: list[bool]


class TokenArrayCache:
    """The chunks that were analysed before. Thread-safe.

    Rows refer to each other by number, so single ones cannot be evicted: when the tables exceed
    `max_bytes`, they are emptied.
    """

    def __init__(self, vectors: WordVectors, max_bytes: int = MAX_BYTES) -> None:
        self.vectors = vectors
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tables = _TokenTables(vectors)

    @property
    def size(self) -> int:
        """Bytes in memory, approximately."""
        return self._tables.size

    def read(
        self,
        texts: Sequence[tuple[str, str | None]],
        terms: Collection[str] = (),
        no_names: Collection[str] = (),
    ) -> TextArrays:
        """Return the arrays of texts, each given with the language that it is analysed in.

        `terms` are those that will be looked for. `no_names` are folded words that do not count as
        names.
        """
        with self._lock:
            # The candidates of a recall bound what one call adds.
            if self._tables.size > self._max_bytes:
                self._tables = _TokenTables(self.vectors)
            return self._tables.read(texts, terms, no_names)


class _ChunkNumbers(dict[str, int]):
    """The numbers of one language's chunks; a new chunk is analysed and numbered."""

    def __init__(self, tables: _TokenTables, language: str | None) -> None:
        self._tables = tables
        self._language = language

    def __missing__(self, chunk: str) -> int:
        number = self[chunk] = self._tables.add(chunk, self._language)
        return number


class _TokenTables:
    """A row per chunk: its flags, its name (0: none) and where its words are; a row per word."""

    def __init__(self, vectors: WordVectors) -> None:
        self.size = 0
        self._vectors_of = vectors
        self._chunks: dict[str | None, _ChunkNumbers] = {}
        self._flags = array("B")
        self._names = array("q")
        self._name_numbers = {"": 0}
        self._bounds = array("q", [0])
        self._words = array("q")
        self._word_numbers: dict[Word, int] = {}
        self._words_of_term: dict[str, list[int]] = {}
        self._without_vector: list[str] = []
        self._vectors: Matrix | None = np.empty((0, 0), dtype=np.float32)

    def add(self, chunk: str, language: str | None) -> int:
        """Analyse a chunk and return its number."""
        answers = answer_types.chunk_answers(chunk)
        ends = _ENDS_SENTENCE * answers.ends_sentence
        asks = _ASKS * answer_types.is_question(chunk)
        self._flags.append(answers.types | ends | asks)
        self._names.append(self._name_numbers.setdefault(answers.name, len(self._name_numbers)))
        self._words.extend([self._word_number(word) for word in chunk_words(chunk, language)])
        self._bounds.append(len(self._words))
        self.size += _CHUNK_BYTES + len(chunk)
        return len(self._flags) - 1

    def _word_number(self, word: Word) -> int:
        existing = self._word_numbers.get(word)
        if existing is not None:
            return existing
        number = self._word_numbers[word] = len(self._word_numbers)
        self._words_of_term.setdefault(word[0], []).append(number)
        self._without_vector.append(word[1])
        self.size += _WORD_BYTES
        return number

    def read(
        self,
        texts: Sequence[tuple[str, str | None]],
        terms: Collection[str],
        no_names: Collection[str],
    ) -> TextArrays:
        """Return the arrays of texts."""
        chunks, text_of = self._chunks_of(texts)
        flags = np.frombuffer(self._flags, np.uint8)[chunks]
        types = np.zeros(len(texts), dtype=np.uint8)
        np.bitwise_or.at(types, text_of, flags)
        types[self._texts_with_name(chunks, flags, text_of, no_names)] |= answer_types.NAME
        words, lengths = self._words_of(chunks, text_of, len(texts))
        return TextArrays(
            words=self._word_arrays(words, lengths, terms),
            answer_types=(types & ~np.uint8(_ENDS_SENTENCE | _ASKS)).tolist(),
            log_lengths=[math.log1p(length) for length in lengths.tolist()],
            asks=(types & _ASKS > 0).tolist(),
        )

    def _chunks_of(self, texts: Sequence[tuple[str, str | None]]) -> tuple[Numbers, Numbers]:
        """Return the numbers of all chunks in reading order, and the text that each is in."""
        split = [text.split() for text, _ in texts]
        numbers: list[int] = []
        for chunks, (_, language) in zip(split, texts, strict=True):
            if language not in self._chunks:
                self._chunks[language] = _ChunkNumbers(self, language)
            numbers.extend(map(self._chunks[language].__getitem__, chunks))
        text_of = np.repeat(np.arange(len(texts)), [len(chunks) for chunks in split])
        return np.array(numbers, dtype=np.intp), text_of

    def _texts_with_name(
        self,
        chunks: Numbers,
        flags: npt.NDArray[np.uint8],
        text_of: Numbers,
        no_names: Collection[str],
    ) -> Numbers:
        """Return the texts that hold a name; the first word of a sentence does not count."""
        is_name = np.ones(len(self._name_numbers), dtype=np.bool_)
        is_name[[0, *(self._name_numbers.get(name, 0) for name in no_names)]] = False
        inside = np.zeros(len(chunks), dtype=np.bool_)
        inside[1:] = (text_of[1:] == text_of[:-1]) & (flags[:-1] & _ENDS_SENTENCE == 0)
        names = np.frombuffer(self._names, np.int64)[chunks]
        return text_of[inside & is_name[names]]

    def _words_of(self, chunks: Numbers, text_of: Numbers, texts: int) -> tuple[Numbers, Numbers]:
        """Return the numbers of all words in reading order, and how many each text has."""
        bounds = np.frombuffer(self._bounds, np.int64)
        first, counts = bounds[chunks], bounds[chunks + 1] - bounds[chunks]
        ends = np.cumsum(counts)
        places = np.repeat(first - ends + counts, counts) + np.arange(counts.sum())
        lengths = np.zeros(texts, dtype=np.intp)
        np.add.at(lengths, text_of, counts)
        return np.frombuffer(self._words, np.int64)[places], lengths

    def _word_arrays(self, words: Numbers, lengths: Numbers, terms: Collection[str]) -> WordArrays:
        """Return the words with new numbers, in the order in which they first occur."""
        first = np.full(len(self._word_numbers), -1, dtype=np.intp)
        # Where an index is repeated, the last value written stays: the first occurrence.
        first[words[::-1]] = np.arange(len(words) - 1, -1, -1)
        distinct = words[first[words] == np.arange(len(words))]
        renumbered = np.full(len(self._word_numbers), -1, dtype=np.intp)
        renumbered[distinct] = np.arange(len(distinct))
        words_of_term = {
            term: [
                int(renumbered[number])
                for number in self._words_of_term.get(term, ())
                if renumbered[number] >= 0
            ]
            for term in terms
        }
        return WordArrays(renumbered[words], lengths, words_of_term, self._vectors_at(distinct))

    def _vectors_at(self, words: Numbers) -> Matrix | None:
        """Return the vectors of words, after those of new words were made."""
        if self._without_vector and self._vectors is not None:
            self._vectors = self._with_new(self._vectors, len(self._word_numbers))
            self._without_vector.clear()
        return None if self._vectors is None else self._vectors[words]

    def _with_new(self, vectors: Matrix, total: int) -> Matrix | None:
        fresh = self._vectors_of(self._without_vector)
        if fresh is None:
            return None
        old_count = total - len(fresh)
        if total > len(vectors):
            grown = np.empty((total + total // 4, fresh.shape[1]), dtype=np.float32)
            grown[:old_count] = vectors[:old_count] if old_count else 0.0
        else:
            grown = vectors
        grown[old_count:total] = fresh
        self.size += fresh.nbytes
        return grown
