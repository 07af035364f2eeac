"""Rankings as TREC run files, which other tools read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

Ranking = Sequence[tuple[str, float]]
"""Ids with their scores, best first."""


def write_trec(path: Path, rankings: Iterable[tuple[str, Ranking]], tag: str) -> None:
    """Write `query Q0 doc rank score tag` lines; a query that found nothing has none.

    Tools sort by score, and differ in how they break ties; see `falling`.
    """
    with path.open("w", encoding="utf-8") as file:
        for query, ranking in rankings:
            scores = falling(score for _, score in ranking)
            for rank, ((doc, _), score) in enumerate(zip(ranking, scores, strict=True), start=1):
                file.write(f"{query} Q0 {doc} {rank} {score:.9g} {tag}\n")


def falling(scores: Iterable[float]) -> Iterator[float]:
    """Yield scores, each below the one before: a tie is lowered by the least possible step.

    The steps are those of 32-bit floats, which trec_eval computes with.
    """
    previous = np.float32(np.inf)
    for score in scores:
        rounded = np.float32(score)
        below = np.nextafter(previous, np.float32(-np.inf))
        previous = rounded if rounded < previous else below
        yield float(previous)
