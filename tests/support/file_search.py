"""Searches the files of a data folder for words and vectors that were deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from memory_service.core.models import Vector
from memory_service.text.terms import terms

_COMPARED = 8
"""So many equal consecutive numbers identify a vector."""


def files(folder: Path) -> Iterator[bytes]:
    """Yield the content of each file below a folder; files that vanish meanwhile are skipped."""
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.read_bytes()
        except FileNotFoundError:
            continue


def words_left(folder: Path, words: Iterable[str]) -> set[bytes]:
    """Return the words and stems that are in a file, in any encoding of a database."""
    forms = {form for word in words for form in (word, *terms(word, "en"))}
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    needles = {form.encode(encoding) for form in forms for encoding in encodings}
    content = b"\x00".join(files(folder))
    return {needle for needle in needles if needle in content}


def vectors_left(folder: Path, vectors: Iterable[Vector]) -> int:
    """Return how many vectors are in a file, as floats (which Chroma rounds) or as half floats."""
    contents = list(files(folder))
    return sum(any(_holds(content, vector) for content in contents) for vector in vectors)


def _holds(content: bytes, vector: Vector) -> bool:
    if vector[:_COMPARED].astype(np.float16).tobytes() in content:
        return True
    wanted = vector[:_COMPARED]
    for offset in range(4):
        whole = content[offset:]
        numbers = np.frombuffer(whole[: len(whole) // 4 * 4], dtype="<f4")
        with np.errstate(invalid="ignore"):
            starts = np.flatnonzero(np.abs(numbers - wanted[0]) < 1e-3)
            for start in starts:
                numbers_at_start = numbers[start : start + _COMPARED]
                if len(numbers_at_start) == _COMPARED and np.all(
                    np.abs(numbers_at_start - wanted) < 1e-3
                ):
                    return True
    return False
