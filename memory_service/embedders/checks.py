"""Checks for embedders outside this process: texts that are not too long, vectors that are usable.

A text is identified by its position in the caller's list, so that an error can name the texts it is
about and the others can be embedded without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory_service.core.errors import EmbedderDown, EmbedderRefused
from memory_service.core.models import Vector
from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.slices import well_formed

PROBE = "How long is a vector?"
"""Embedded once at the start to find an unknown dimension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderLimits:
    """Limits of requests to an embedder: texts at once, tokens of a text, seconds to wait.

    Without `max_input_tokens` the embedder's own limit holds, or a low one if it has none.
    """

    counter: TokenCounter
    max_input_tokens: int | None = None
    batch: int = 32
    timeout_seconds: float = 60.0
    query_timeout_seconds: float = 3.0


def filled(texts: Sequence[str]) -> dict[int, str]:
    """Return the texts that are not blank, well-formed, by position."""
    return {position: well_formed(text) for position, text in enumerate(texts) if text.strip()}


def token_counts(texts: Mapping[int, str], counter: TokenCounter, limit: int) -> dict[int, int]:
    """Return the tokens of each text; raises EmbedderRefused that names those over the limit.

    Servers and libraries cut longer texts without an error, and the rest could not be recalled.
    """
    counts = {position: counter.count(text) for position, text in texts.items()}
    too_long = [position for position, count in counts.items() if count > limit]
    if too_long:
        longest = max(counts.values())
        raise EmbedderRefused(
            f"{len(too_long)} of {len(texts)} texts are too long to embed: up to {longest} tokens, "
            f"and the limit is {limit} (MEMORY_EMBEDDER_MAX_INPUT_TOKENS). "
            "Shorter passages (MEMORY_PASSAGE_WORDS) fit.",
            positions=too_long,
        )
    return counts


def batches(
    counts: Mapping[int, int], max_texts: int, max_tokens: float = math.inf
) -> Iterator[list[int]]:
    """Yield the positions in batches of at most so many texts and tokens, in their order.

    A text of more tokens than that is a batch by itself.
    """
    batch: list[int] = []
    tokens = 0
    for position, count in counts.items():
        if batch and (len(batch) == max_texts or tokens + count > max_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(position)
        tokens += count
    if batch:
        yield batch


def unit_vectors(
    rows: Sequence[npt.ArrayLike], positions: Sequence[int], dimension: int | None
) -> dict[int, Vector]:
    """Return the rows as vectors of unit length, by the positions of their texts.

    Raises EmbedderDown for another number of rows, for rows of several lengths, and for rows
    with NaN, infinity or nothing but zeros; EmbedderRefused for another dimension.
    """
    if len(rows) != len(positions):
        raise EmbedderDown(f"The embedder returned {len(rows)} vectors for {len(positions)} texts.")
    matrix = _matrix(rows)
    if dimension is not None and matrix.shape[1] != dimension:
        raise EmbedderRefused(
            f"The embedder returned vectors of {matrix.shape[1]} numbers instead of {dimension}: "
            "it runs another model than the one the data was made with."
        )
    # Scaled by the largest number first: squares of very large or small ones overflow a float.
    peaks = np.abs(matrix).max(axis=1, keepdims=True)
    usable = np.isfinite(peaks[:, 0]) & (peaks[:, 0] > 0)
    if not usable.all():
        bad = [position for position, ok in zip(positions, usable, strict=True) if not ok]
        raise EmbedderDown(
            f"{len(bad)} of {len(rows)} vectors hold NaN, infinity or nothing but zeros.",
            positions=bad,
        )
    scaled = matrix / peaks
    unit = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return dict(zip(positions, unit, strict=True))


def _matrix(rows: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    try:
        matrix = np.array([np.asarray(row, dtype=np.float64) for row in rows])
    except (TypeError, ValueError, OverflowError) as error:
        raise EmbedderDown("The embedder did not return vectors of one length.") from error
    if matrix.ndim != 2 or not matrix.size:
        raise EmbedderDown("The embedder did not return vectors of numbers.")
    return matrix
