"""Stage 2, candidates: the best turns by words and by vectors, those of a time, and neighbours."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memory_service.core.models import Scope
from memory_service.recall.caches.branch_cache import ActiveBranch, BranchCache, Positions
from memory_service.recall.matching import NEIGHBOUR_REACH
from memory_service.recall.query import Query
from memory_service.recall.time_scope import TimeScope
from memory_service.recall.vector_search import VectorMatches
from memory_service.recall.word_search import WordMatches
from memory_service.turn_log.transactions import ReadTransaction

PASSAGES_PER_SEARCH = 50
"""Passages that the search by words, and that by vectors, may each contribute."""
MIN_PASSAGES = 60
"""Passages of both searches that are kept at least, before their neighbours are added."""
MAX_TURNS_OF_TIME = 300
"""Turns of the time that a query means that are candidates whatever they say."""
_WIDENING = 4
"""Factor of further passages where a time or a filter rejects some."""
_RANK_CONSTANT = 60


class BranchPositions(NamedTuple):
    """Candidates of one conversation: positions on its active branch, rising."""

    branch: ActiveBranch
    positions: Positions

    @property
    def turn_keys(self) -> npt.NDArray[np.int64]:
        """The keys of the turns."""
        return self.branch.turns[self.positions]


class CandidateTurn(NamedTuple):
    """A candidate as its branch describes it: a turn, its position, and the segment it is in."""

    conversation_key: int
    position: int
    turn_key: int
    segment: int
    created_at: int
    by_user: bool

    def follows(self, other: CandidateTurn) -> bool:
        """Return whether it is the next turn after another on the same segment."""
        return (self.conversation_key, self.segment, self.position) == (
            other.conversation_key,
            other.segment,
            other.position + 1,
        )


def passage_limit(query: Query, time_scope: TimeScope) -> int:
    """Return how many passages each search may contribute."""
    limit = PASSAGES_PER_SEARCH
    if query.is_filtered:
        limit *= _WIDENING
    return limit * _WIDENING if time_scope else limit


def find_candidates(
    snapshot: ReadTransaction,
    scope: Scope,
    branches: BranchCache,
    words: WordMatches,
    vectors: VectorMatches,
    time_scope: TimeScope,
    limit: int,
) -> dict[int, BranchPositions]:
    """Return the candidates by conversation key."""
    turns = _best_turns(snapshot, scope, words, vectors, limit)
    of_time = _newest(time_scope.positions)
    candidates: dict[int, BranchPositions] = {}
    for key in sorted(turns.keys() | of_time.keys()):
        branch = branches.get(snapshot, key, scope.members[key])
        positions = branch.around(turns.get(key, ()), NEIGHBOUR_REACH)
        if key in of_time:
            positions = np.union1d(positions, of_time[key])
        if time_scope.is_exclusive:
            positions = np.intersect1d(positions, time_scope.positions[key])
        candidates[key] = BranchPositions(branch, positions)
    return candidates


def candidate_turns(candidates: Mapping[int, BranchPositions]) -> list[CandidateTurn]:
    """Return the candidates one by one, in the order of their conversations and branches."""
    return [
        CandidateTurn(conversation_key, *turn)
        for conversation_key, (branch, positions) in candidates.items()
        for turn in zip(
            positions.tolist(),
            branch.turns[positions].tolist(),
            branch.segments[positions].tolist(),
            branch.created_at[positions].tolist(),
            branch.by_user[positions].tolist(),
            strict=True,
        )
    ]


def top(scores: Mapping[int, float], limit: int) -> list[int]:
    """Return the keys of the best scores; of equal scores the newer (larger) key comes first."""
    best = heapq.nlargest(limit, zip(scores.values(), scores, strict=True))
    return [key for _, key in best]


def reciprocal_rank_fusion(*rankings: Sequence[int]) -> dict[int, float]:
    """Return the sum over several rankings of 1 / (60 + rank), by key; ranks count from 0.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion Outperforms Condorcet and
    Individual Rank Learning Methods" (2009), with their constant.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking):
            scores[key] = scores.get(key, 0.0) + 1.0 / (_RANK_CONSTANT + rank)
    return scores


def _best_turns(
    snapshot: ReadTransaction,
    scope: Scope,
    words: WordMatches,
    vectors: VectorMatches,
    limit: int,
) -> dict[int, list[int]]:
    """Return the keys of the turns of the best passages, by conversation key."""
    fused = reciprocal_rank_fusion(top(vectors.cosines, limit), top(words.scores, limit))
    turns: dict[int, list[int]] = {}
    for place in snapshot.passages.places(top(fused, max(MIN_PASSAGES, limit))):
        if place.conversation_key in scope.members:
            turns.setdefault(place.conversation_key, []).append(place.turn_key)
    return turns


def _newest(positions: Mapping[int, Positions]) -> dict[int, Positions]:
    """Return at most `MAX_TURNS_OF_TIME` positions, the last of each conversation."""
    filled = {key: of_branch for key, of_branch in positions.items() if len(of_branch)}
    share = max(1, MAX_TURNS_OF_TIME // max(1, len(filled)))
    return {
        key: of_branch[-share:] for key, of_branch in sorted(filled.items())[-MAX_TURNS_OF_TIME:]
    }
