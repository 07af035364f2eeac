"""Stage 4, scores: the weighted sum of the features of each candidate. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]
"""One value per candidate, shape (candidates,)."""

_BEST_OF_SEGMENT = 3
"""Turns whose mean says how much a segment is about the query."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each feature counts: per standard deviation, or, of yes and no, as it is.

    Fitted by `python -m eval fit-ranking`, a softmax over the candidates of each question, to the
    `tuned_on` conversations of `eval.datasets.splits`: among people to those of LoCoMo, REALTALK
    and TMD's questions of content and time, with an assistant to those of BEAM-100K and the
    project's own set. docs/evaluation.md has what they reach on the others, and what each feature
    adds there. The features and their word lists were written while looking at all of these sets.
    """

    vector: float
    words: float
    speaker: float
    answer: float
    time: float
    segment: float = 0.0
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
    segment=0.24,
    reply=0.15,
    question=-0.6,
)
"""Two or more people talk: turns are short, and a question names whom it is about."""

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
"""A user and an assistant, whose long messages hold many words and few facts about the user.

Two are set by hand, for the short answers of assistants, which BEAM never asks for and the fit
ranks low: the speaker (2.27 if fitted), and the reply (0), which recalls "Biscuit." along with the
request for a cat's name.
"""


class Component(StrEnum):
    """A component of recall that a measurement can leave out, to see what it adds.

    No setting does: a service has them all. Except for the last two, a component is a feature: its
    name in lower case is the field of `Weights`, its value is its name in responses, traces and
    evaluations.
    """

    WORDS = "words"
    VECTOR = "vector"
    PHRASE = "phrase"
    REPLY = "reply"
    QUESTION = "question"
    SPEAKER = "speaker"
    LENGTH = "length"
    ANSWER = "answer"
    TIME = "time"
    SEGMENT = "stretch"
    QUERY_WEIGHTS = "query_weights"
    RELEVANCE_FLOOR = "floor"


ALL_COMPONENTS = frozenset(Component)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate with its features: a turn, its position on the active branch, and raw scores.

    `segment` names the segment (the key of its conversation, and its number there); `position`
    counts the turns of the branch. `in_time` says that it was said at the time the query means.
    `vector` is a cosine (-1 to 1), None where it has no vector. `own_words` is the weight of the
    query's words that it matches itself, `nearby_words` that with what its neighbours say, `phrase`
    that of pairs of words (all at least 0). `speaker` is 0.5 if the query is about the
    turn's speaker, -0.5 if about another, 0 if about none in particular. `answers` counts the
    answer types asked for that the text holds; `length` is ln(1 + words); `asks` says that it asks
    something.
    """

    turn_key: int
    segment: tuple[int, int]
    position: int
    created_at: int
    vector: float | None
    own_words: float
    nearby_words: float = 0.0
    phrase: float = 0.0
    speaker: float = 0.0
    answers: int = 0
    length: float = 0.0
    asks: bool = False
    in_time: bool = False
    by_user: bool = False


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A candidate with its score, and what each feature adds to that, by the feature's name."""

    turn_key: int
    score: float
    features: Mapping[str, float]


RankFunction = Callable[[Sequence[Candidate], frozenset[Component]], list[RankedCandidate]]
"""What `rank` does; a measurement can replace or observe it."""


def rank(
    candidates: Sequence[Candidate], components: frozenset[Component] = ALL_COMPONENTS
) -> list[RankedCandidate]:
    """Return the candidates, best first; ties go to the newer turn, then to the larger key."""
    if not candidates:
        return []
    # Always in the same order: sums of floats depend on it, and with them ties.
    ordered = sorted(candidates, key=lambda turn: (turn.segment, turn.position, turn.turn_key))
    if Component.WORDS not in components:
        ordered = [replace(turn, own_words=0.0, nearby_words=0.0) for turn in ordered]
    contributions = weighted(feature_columns(ordered), weights_for(ordered), components)
    names = [component.value for component in contributions]
    table = np.stack(list(contributions.values()), axis=1)
    ranked = [
        (turn, RankedCandidate(turn.turn_key, score, dict(zip(names, row, strict=True))))
        for turn, score, row in zip(
            ordered, table.sum(axis=1).tolist(), table.tolist(), strict=True
        )
    ]
    ranked.sort(key=lambda pair: (-pair[1].score, -pair[0].created_at, -pair[0].turn_key))
    return [result for _, result in ranked]


def weights_for(candidates: Sequence[Candidate]) -> Weights:
    """Return the weights: where the roles differ, an assistant is among the speakers."""
    roles_differ = len({turn.by_user for turn in candidates}) > 1
    return WITH_ASSISTANT if roles_differ else AMONG_PEOPLE


def weighted(
    columns: Mapping[str, Column],
    weights: Weights,
    components: frozenset[Component] = ALL_COMPONENTS,
) -> dict[Component, Column]:
    """Return what each feature of the components adds to the score of each candidate."""
    return {
        Component[name.upper()]: column * getattr(weights, name)
        for name, column in columns.items()
        if getattr(weights, name) and Component[name.upper()] in components
    }


def feature_columns(candidates: Sequence[Candidate]) -> dict[str, Column]:
    """Return the features that are weighed, of candidates sorted by segment and position.

    Their names are the fields of `Weights`. Those of unbounded scales are standard scores.
    """
    vector = _standard_scores([turn.vector for turn in candidates])
    similarity = vector + _standard_scores([turn.own_words for turn in candidates])
    asks = np.array([turn.asks for turn in candidates], dtype=np.float64)
    return {
        "vector": vector,
        "words": _standard_scores([turn.nearby_words for turn in candidates]),
        "phrase": _standard_scores([turn.phrase for turn in candidates]),
        "reply": _similarity_of_request(candidates, similarity, asks),
        "question": asks,
        "speaker": np.array([turn.speaker for turn in candidates]),
        "length": np.array([turn.length for turn in candidates]),
        "answer": np.array([turn.answers for turn in candidates], dtype=np.float64),
        "time": np.array([turn.in_time for turn in candidates], dtype=np.float64),
        "segment": _standard_scores(_segment_means(candidates, similarity)),
    }


def _similarity_of_request(
    candidates: Sequence[Candidate], similarity: Column, asks: Column
) -> Column:
    """Return for each candidate the similarity of the turn that it replies to, else 0.

    A message of a user to an assistant calls for a reply, whether it is a question or not:
    "Biscuit." means nothing without "Give me a name for a cat".
    """
    places = {(turn.segment, turn.position): place for place, turn in enumerate(candidates)}
    before = np.array(
        [places.get((turn.segment, turn.position - 1), -1) for turn in candidates], dtype=np.intp
    )
    by_user = np.array([turn.by_user for turn in candidates], dtype=np.bool_)
    is_reply = (asks[before] > 0) | (by_user[before] & ~by_user)
    return np.where((before >= 0) & is_reply, similarity[before], 0.0)


def _segment_means(candidates: Sequence[Candidate], values: Column) -> list[float | None]:
    """Return for each candidate the mean of the best of its segment; missing ones count as 0."""
    by_segment: dict[tuple[int, int], list[float]] = {}
    for turn, value in zip(candidates, values.tolist(), strict=True):
        by_segment.setdefault(turn.segment, []).append(value)
    means = {
        segment: math.fsum(heapq.nlargest(_BEST_OF_SEGMENT, of_segment)) / _BEST_OF_SEGMENT
        for segment, of_segment in by_segment.items()
    }
    return [means[turn.segment] for turn in candidates]


def _standard_scores(values: Sequence[float | None]) -> Column:
    """Return standard scores, so that features of different scales can be added up.

    A missing value counts as the mean; where all are equal, every score is 0.
    """
    is_present = np.array([value is not None for value in values])
    column = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    if not is_present.any():
        return np.zeros(len(values))
    mean, deviation = column[is_present].mean(), column[is_present].std()
    if deviation < 1e-9:
        return np.zeros(len(values))
    return np.where(is_present, (column - mean) / deviation, 0.0)
