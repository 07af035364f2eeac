"""Passages (the texts that are embedded) and their postings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from memory_service.core.models.values import Integers, Vector


@dataclass(frozen=True, slots=True)
class Passage:
    """What is embedded: a turn, or a window of a long one; `start` and `end` count characters.

    `tf` are its terms, each with how often it occurs; `length` is the sum of that.
    """

    ordinal: int
    start: int
    end: int
    tf: Mapping[str, int]
    length: int
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage's place in the log, without its text: `length` counts terms."""

    key: int
    turn_key: int
    conversation_key: int
    ordinal: int
    start: int
    end: int
    length: int
    vector: Vector | None


class PassagePlace(NamedTuple):
    """A passage, the turn and the conversation it is of, and its span of the text."""

    key: int
    turn_key: int
    conversation_key: int
    start: int
    end: int


class Posting(NamedTuple):
    """A term and the passages that hold it: all that BM25 needs of them.

    Columns of shape (n,): the passages' keys, how often each holds the term, and its length in
    terms. A query reads thousands, and anything made of each one takes longer than reading them.
    """

    term: str
    passage_keys: Integers
    tf: Integers
    lengths: Integers

    @classmethod
    def of(cls, term: str, rows: Iterable[tuple[int, int, int]]) -> Self:
        """Return the posting of a term from (passage key, how often, length) of each passage."""
        return cls(term, *np.array(list(rows), dtype=np.int64).reshape(-1, 3).T)
