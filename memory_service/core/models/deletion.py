"""Receipts of deletions, and residues: places where bytes of deleted data may remain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DeletedKind = Literal["item", "conversation", "user", "response"]
"""What a deletion was asked for."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of a deletion: what kind of thing and how much, without its content.

    `user_key` says whose data it was, if it was a user's.
    """

    id: str
    kind: DeletedKind
    counts: Mapping[str, int]
    created_at: int
    user_key: int | None = None


ResiduePlace = Literal["log", "index", "collection"]
"""The log's file, the database of the vector index, or the files of one collection."""


@dataclass(frozen=True, slots=True)
class Residue:
    """A place where bytes of deleted data may remain."""

    key: int
    place: ResiduePlace
    collection_key: int | None
