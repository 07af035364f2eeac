"""Passages (the texts that are embedded) and their postings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from memory_service.core.models.values import Integers, Vector


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that is embedded and indexed: a whole short turn, or a window of a long one.

    `start` and `end` count characters of the turn's text. `tf` are the frequencies of its terms;
    `length` is their sum.
    """

    ordinal: int
    start: int
    end: int
    tf: Mapping[str, int]
    length: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage as stored in the log, without its text; `length` counts terms."""

    key: int
    turn_key: int
    conversation_key: int
    ordinal: int
    start: int
    end: int
    length: int
    vector: Vector | None


class PassagePlace(NamedTuple):
    """A passage, its turn and conversation, and its span of the turn's text."""

    key: int
    turn_key: int
    conversation_key: int
    start: int
    end: int


class Posting(NamedTuple):
    """A term and the passages that contain it, with what BM25 needs of them.

    Columns of shape (n,): the passages' keys, the term's frequency in each, and its length in
    terms. A query reads thousands of rows: an object per row would take longer than reading them.
    """

    term: str
    passage_keys: Integers
    tf: Integers
    lengths: Integers

    @classmethod
    def of(cls, term: str, rows: Iterable[tuple[int, int, int]]) -> Self:
        """Return the posting of a term from (passage key, frequency, length) of each passage."""
        return cls(term, *np.array(list(rows), dtype=np.int64).reshape(-1, 3).T)
