"""Ranking: word weights, BM25, and fusion of the channels. Pure.

Sources: BM25 is Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with the non-negative inverse document frequency of Lucene. The statistics are the scope's
own: in a chat the speakers' names and their topic are everywhere, and only the scope knows that.
Nor does a scope of few passages gain by the frequencies of other text: mixed in below 50 passages,
those of the bundled conversation lowered recall@5 on 20 turns of LoCoMo from 0.882 to 0.870.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Posting, ScopeStatistics

Column = npt.NDArray[np.float64]
"""One value a candidate, shape (candidates,)."""

BM25_K1 = 1.2
BM25_B = 0.4

_BEST_OF_STRETCH = 3
"""Turns whose mean says how much a stretch of talk is about the question."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each channel counts, per standard deviation or, of yes and no, as it is.

    Fitted by `python -m eval fit-ranking`, a softmax over the candidates of each question, to the
    `tuned_on` conversations of `eval.splits`: among people to those of LoCoMo, REALTALK and TMD's
    questions of content and time, with an assistant to those of BEAM-100K and the project's own
    set. What they reach on the others, and what each channel earns there, is in docs/evaluation.md.
    The features and their lists of words were written while looking at all of these sets.
    """

    vector: float
    words: float
    speaker: float
    answer: float
    time: float
    stretch: float = 0.0
    phrase: float = 0.0
    reply: float = 0.0
    question: float = 0.0
    length: float = 0.0


AMONG_PEOPLE = Weights(
    vector=0.35,
    words=0.75,
    speaker=2.23,
    answer=1.74,
    time=4.0,
    stretch=0.24,
    reply=0.15,
    question=-0.6,
)
"""Two or more people talk: short turns, and a question names whom it is about."""

WITH_ASSISTANT = Weights(
    vector=0.52,
    words=0.46,
    speaker=1.6,
    answer=0.39,
    time=2.44,
    phrase=0.25,
    reply=0.1,
    length=-0.21,
)
"""A user and an assistant, whose long messages hold many words and few facts of the user's.

Two are set by hand, for the short answers of assistants, which BEAM never asks for and the fit
buries: the speaker (2.27 if fitted), and the reply (0), which brings "Biscuit." along with the
request for a cat's name.
"""


class Part(StrEnum):
    """A part of recall that a measurement can leave out, to see what it earns.

    No setting does: a service has them all. A channel is called what traces call it.
    """

    WORDS = "words"
    VECTORS = "vector"
    PHRASE = "phrase"
    REPLY = "reply"
    QUESTION = "question"
    SPEAKER = "speaker"
    LENGTH = "length"
    ANSWER = "answer"
    TIME = "time"
    STRETCH = "stretch"
    QUERY_WEIGHTS = "query_weights"
    FLOOR = "floor"


ALL_PARTS = frozenset(Part)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A turn in the running: its place on the live path, and its raw scores by channel.

    `vector` is a cosine (-1 to 1), None where it has no vector. `words` is the weight of the
    question's words that it matches itself, `said` that with what its neighbours say, `phrase` that
    of pairs of words (all at least 0). `speaker` is 0.5 if the question is about whoever speaks,
    -0.5 if about another, 0 if about nobody. `answers` counts the kinds of answer asked for that
    the text holds; `length` is the logarithm of its words; `then` says that it was said at the time
    the question means.
    `path` names an uninterrupted stretch of a conversation (its key, and which); `position` counts
    the turns of the conversation.
    """

    turn_key: int
    path: tuple[int, int]
    position: int
    created_at: int
    vector: float | None
    words: float
    said: float = 0.0
    phrase: float = 0.0
    speaker: float = 0.0
    answers: int = 0
    length: float = 0.0
    asks: bool = False
    then: bool = False
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
    for term, passage_keys, tf, lengths in postings:
        norms = BM25_K1 * (1.0 - BM25_B + BM25_B * lengths / mean)
        gains = weights[term] * tf * (BM25_K1 + 1.0) / (tf + norms)
        for passage_key, gain in zip(passage_keys.tolist(), gains.tolist(), strict=True):
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
    # In one order whatever order they came in: sums of floats depend on it, and with them ties.
    ordered = sorted(candidates, key=lambda one: (one.path, one.position, one.turn_key))
    if Part.WORDS not in parts:
        ordered = [replace(one, words=0.0, said=0.0) for one in ordered]
    channels = weighted(features(ordered), weights_for(ordered), parts)
    names, table = list(channels), np.stack(list(channels.values()), axis=1)
    scores, rows = table.sum(axis=1), table.tolist()
    ranked = [
        (one, Ranked(one.turn_key, score, dict(zip(names, row, strict=True))))
        for one, score, row in zip(ordered, scores.tolist(), rows, strict=True)
    ]
    ranked.sort(key=lambda pair: (-pair[1].score, -pair[0].created_at, -pair[0].turn_key))
    return [result for _, result in ranked]


Ranking = Callable[[Sequence[Candidate], frozenset[Part]], list[Ranked]]
"""What `rank` does; a measurement puts another in its place, or looks on."""


def weights_for(candidates: Sequence[Candidate]) -> Weights:
    """Return the weights: where the roles differ, an assistant is among the speakers."""
    mixed = len({one.by_user for one in candidates}) > 1
    return WITH_ASSISTANT if mixed else AMONG_PEOPLE


def weighted(
    features: Mapping[str, Column], weights: Weights, parts: frozenset[Part] = ALL_PARTS
) -> dict[str, Column]:
    """Return what each channel of the parts adds to the score of each candidate."""
    return {
        name: column * getattr(weights, name)
        for name, column in features.items()
        if getattr(weights, name) and Part(name) in parts
    }


def features(candidates: Sequence[Candidate]) -> dict[str, Column]:
    """Return the channels of candidates that are sorted by path and position."""
    vector = _standardised([one.vector for one in candidates])
    own = vector + _standardised([one.words for one in candidates])
    asks = np.array([one.asks for one in candidates], dtype=np.float64)
    return {
        "vector": vector,
        "words": _standardised([one.said for one in candidates]),
        "phrase": _standardised([one.phrase for one in candidates]),
        "reply": _replies(candidates, own, asks),
        "question": asks,
        "speaker": np.array([one.speaker for one in candidates]),
        "length": np.array([one.length for one in candidates]),
        "answer": np.array([one.answers for one in candidates], dtype=np.float64),
        "time": np.array([one.then for one in candidates], dtype=np.float64),
        "stretch": _standardised(_stretch_means(candidates, own)),
    }


def _replies(candidates: Sequence[Candidate], own: Column, asks: Column) -> Column:
    """Return for each candidate the similarity of the turn that it replies to, else 0.

    What a user says to an assistant calls for a reply, be it a question or not: "Biscuit." is
    nothing without "Give me a name for a cat".
    """
    places = {(one.path, one.position): at for at, one in enumerate(candidates)}
    before = np.array(
        [places.get((one.path, one.position - 1), -1) for one in candidates], dtype=np.intp
    )
    by_user = np.array([one.by_user for one in candidates], dtype=np.bool_)
    calls_for_one = (asks[before] > 0) | (by_user[before] & ~by_user)
    return np.where((before >= 0) & calls_for_one, own[before], 0.0)


def _stretch_means(candidates: Sequence[Candidate], values: Column) -> list[float | None]:
    """Return for each candidate the mean of the best of its stretch; absent ones count as 0."""
    of_stretch: dict[tuple[int, int], list[float]] = {}
    for one, value in zip(candidates, values.tolist(), strict=True):
        of_stretch.setdefault(one.path, []).append(value)
    means = {
        path: math.fsum(heapq.nlargest(_BEST_OF_STRETCH, some)) / _BEST_OF_STRETCH
        for path, some in of_stretch.items()
    }
    return [means[one.path] for one in candidates]


def _standardised(values: Sequence[float | None]) -> Column:
    """Return standard scores, so that channels of different scales can be added up.

    What has no value counts as the mean; where all are equal, every score is 0.
    """
    known = np.array([value is not None for value in values])
    column = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    if not known.any():
        return np.zeros(len(values))
    mean, deviation = column[known].mean(), column[known].std()
    if deviation < 1e-9:
        return np.zeros(len(values))
    return np.where(known, (column - mean) / deviation, 0.0)
