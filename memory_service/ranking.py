"""Ranking: word weights, BM25, fusion of the channels, and the neighbourhood of a turn. Pure.

Sources: BM25 is Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with the non-negative inverse document frequency of Lucene. The statistics are the scope's
own: in a chat the speakers' names and their topic are everywhere, and only the scope knows that.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from memory_service.records import Posting, ScopeStatistics

BM25_K1 = 1.2
BM25_B = 0.4
USER_BONUS = 1.0
"""What a turn of the user has ahead of the assistant's long answers, in standard deviations."""

NEIGHBOUR_WEIGHTS = {-1: 0.45, 1: 0.3, -2: 0.2, 2: 0.15}
"""What the turn at a distance adds to a turn: the answer stands next to the question."""


class Part(StrEnum):
    """A part of recall that a measurement can leave out, to see what it earns.

    No setting does: a service has them all. A channel is called what traces call it.
    """

    WORDS = "words"
    VECTORS = "vector"
    NEIGHBOURS = "neighbours"
    USER_BONUS = "user"
    QUERY_WEIGHTS = "query_weights"
    FLOOR = "floor"


ALL_PARTS = frozenset(Part)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A turn in the running: its place on the live path, and its raw scores by channel.

    `words` is BM25 (at least 0); `vector` is a cosine (-1 to 1), None where it has no vector.
    `path` names an uninterrupted stretch of a conversation (its key, and which); `position` counts
    the turns of the conversation.
    """

    turn_key: int
    path: tuple[int, int]
    position: int
    created_at: int
    vector: float | None
    words: float
    by_user: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A turn with its final score and what each channel put into it."""

    turn_key: int
    score: float
    channels: Mapping[str, float]


def inverse_document_frequency(frequency: int, passages: int) -> float:
    """Return ln(1 + (N - n + 0.5) / (n + 0.5)), at least 0, for n of N passages."""
    n = min(frequency, passages)
    return math.log(1.0 + (passages - n + 0.5) / (n + 0.5))


def bm25(
    postings: Iterable[Posting], weights: Mapping[str, float], statistics: ScopeStatistics
) -> dict[int, float]:
    """Return the BM25 score of each passage that holds a weighted term."""
    mean = statistics.mean_length or 1.0
    scores: dict[int, float] = {}
    for term, passage_key, tf, length in postings:
        norm = BM25_K1 * (1.0 - BM25_B + BM25_B * length / mean)
        gain = weights[term] * tf * (BM25_K1 + 1.0) / (tf + norm)
        scores[passage_key] = scores.get(passage_key, 0.0) + gain
    return scores


def top(scores: Mapping[int, float], limit: int) -> list[int]:
    """Return the keys of the best scores; of equal scores the newer (larger) key comes first."""
    best = heapq.nlargest(limit, zip(scores.values(), scores, strict=True))
    return [key for _, key in best]


def reciprocal_ranks(*orders: Sequence[int]) -> dict[int, float]:
    """Return the reciprocal rank fusion of several orders of keys.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion" (2009), with their constant 60.
    """
    scores: dict[int, float] = {}
    for order in orders:
        for place, key in enumerate(order):
            scores[key] = scores.get(key, 0.0) + 1.0 / (60 + place)
    return scores


def rank(candidates: Sequence[Candidate], parts: frozenset[Part] = ALL_PARTS) -> list[Ranked]:
    """Return the candidates, best first; ties go to the newer turn, then to the larger key."""
    if not candidates:
        return []
    vector = _standardised([candidate.vector for candidate in candidates])
    words = _standardised([candidate.words for candidate in candidates])
    own = {
        (candidate.path, candidate.position): v + w
        for candidate, v, w in zip(candidates, vector, words, strict=True)
    }
    # Where only users speak, the bonus would be one constant for all.
    mixed = len({candidate.by_user for candidate in candidates}) > 1
    bonus = USER_BONUS if mixed and Part.USER_BONUS in parts else 0.0
    near_weights = NEIGHBOUR_WEIGHTS if Part.NEIGHBOURS in parts else {}
    ranked = []
    for candidate, v, w in zip(candidates, vector, words, strict=True):
        near = sum(
            weight * own.get((candidate.path, candidate.position + step), 0.0)
            for step, weight in near_weights.items()
        )
        channels = {"vector": v, "words": w, "neighbours": near}
        if candidate.by_user and bonus:
            channels["user"] = bonus
        score = math.fsum(channels.values())
        ranked.append((candidate, Ranked(candidate.turn_key, score, channels)))
    ranked.sort(key=lambda pair: (-pair[1].score, -pair[0].created_at, -pair[0].turn_key))
    return [result for _, result in ranked]


def _standardised(values: Sequence[float | None]) -> list[float]:
    """Return standard scores, so that channels of different scales can be added up.

    What has no value counts as the mean; where all are equal, every score is 0.
    """
    known = [value for value in values if value is not None]
    if not known:
        return [0.0] * len(values)
    # Exact sums: those of floats depend on their order, and with them who wins a tie.
    mean = math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known))
    if deviation < 1e-9:
        return [0.0] * len(values)
    return [0.0 if value is None else (value - mean) / deviation for value in values]
