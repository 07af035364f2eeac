"""Stage 2, vectors: the passages of a scope whose vectors are nearest to that of a query.

All vectors of a small scope are compared in memory. For a large scope the vector index is asked;
passages that it does not have yet are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from memory_service.core.errors import EmbedderDown, EmbedderRefused, VectorIndexDown
from memory_service.core.models import Scope, StoredPassage, Vector
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.recall.caches.vector_cache import ConversationVectors, VectorCache
from memory_service.recall.word_search import QueryTerms
from memory_service.text.terms import term_spans
from memory_service.turn_log.transactions import ReadTransaction

logger = structlog.get_logger(__name__)

MAX_UNINDEXED = 5_000
"""Passages not yet in the index that are compared, the newest."""


class QueryEmbedding(NamedTuple):
    """The vector of a query, None if there is none; `degraded` names the embedder if it failed."""

    vector: Vector | None
    degraded: str | None = None


class ScoredPassage(NamedTuple):
    """A passage, its turn, and its similarity to the query if that is known."""

    passage_key: int
    turn_key: int
    cosine: float | None


@dataclass(frozen=True, slots=True)
class ScannedConversation:
    """A conversation whose vectors were all compared; `cosines` has one for each passage."""

    vectors: ConversationVectors
    cosines: npt.NDArray[np.float32]

    def of_turns(self, turn_keys: npt.NDArray[np.int64]) -> list[ScoredPassage]:
        """Return the passages of turns with their similarities."""
        first = np.searchsorted(self.vectors.turns, turn_keys, side="left")
        after = np.searchsorted(self.vectors.turns, turn_keys, side="right")
        return [
            ScoredPassage(int(self.vectors.passages[row]), int(turn_key), float(self.cosines[row]))
            for turn_key, start, end in zip(turn_keys, first, after, strict=True)
            for row in range(start, end)
        ]

    def best(self, limit: int) -> dict[int, float]:
        """Return the best similarities by passage key."""
        if len(self.cosines) > limit:
            rows = np.argpartition(-self.cosines, limit)[:limit]
        else:
            rows = np.arange(len(self.cosines))
        return {int(self.vectors.passages[row]): float(self.cosines[row]) for row in rows}


@dataclass(frozen=True, slots=True)
class VectorMatches:
    """The passages nearest to a query.

    `query` is its vector, None without vectors. `cosines` are similarities by passage key.
    `scanned` are the conversations, by key, of which the similarities of all passages are known.
    `degraded` names the vector index if it was down or incomplete.
    """

    query: Vector | None = None
    cosines: Mapping[int, float] = field(default_factory=dict)
    scanned: Mapping[int, ScannedConversation] = field(default_factory=dict)
    degraded: str | None = None


class VectorSearch:
    """Searches scopes of up to `exact_scan_max` passages in memory, larger ones in the index."""

    def __init__(self, index: VectorIndex, cache: VectorCache, *, exact_scan_max: int) -> None:
        self._index = index
        self._cache = cache
        self._exact_scan_max = exact_scan_max

    def search(
        self, snapshot: ReadTransaction, scope: Scope, vector: Vector | None, limit: int
    ) -> VectorMatches:
        """Return about `limit` nearest passages of each conversation or collection of a scope."""
        if vector is None:
            return VectorMatches()
        if scope.statistics.passages <= self._exact_scan_max:
            return self._scan(snapshot, scope, vector, limit)
        indexed = self._ask_index(snapshot, scope, vector, limit)
        unindexed = _compare_unindexed(snapshot, scope, vector)
        return VectorMatches(
            vector,
            {**indexed.cosines, **unindexed.cosines},
            degraded=indexed.degraded or unindexed.degraded,
        )

    def _scan(
        self, snapshot: ReadTransaction, scope: Scope, vector: Vector, limit: int
    ) -> VectorMatches:
        """Compare the query with every vector of the scope."""
        entries = {
            key: self._cache.get(snapshot, key, member) for key, member in scope.members.items()
        }
        scanned = {
            key: ScannedConversation(entry, entry.cosines(vector))
            for key, entry in entries.items()
            if len(entry.passages)
        }
        cosines: dict[int, float] = {}
        for conversation in scanned.values():
            cosines.update(conversation.best(limit))
        return VectorMatches(vector, cosines, scanned)

    def _ask_index(
        self, snapshot: ReadTransaction, scope: Scope, vector: Vector, limit: int
    ) -> VectorMatches:
        """Ask the index for the nearest passages of each collection that the scope is in."""
        cosines: dict[int, float] = {}
        try:
            for collection, members in snapshot.placements.of_scope(scope).items():
                groups = _groups(snapshot, collection, members)
                cosines.update(self._index.query(collection, vector, groups, limit))
        except VectorIndexDown as error:
            logger.warning("recall continues without the vector index", error=error.message)
            return VectorMatches(vector, cosines, degraded="vector_index")
        return VectorMatches(vector, cosines)


def embed_query(
    embedder: Embedder, terms: QueryTerms, languages: Sequence[str | None]
) -> QueryEmbedding:
    """Embed a query, each of its words weighted by its inverse document frequency in the scope."""
    weights = [
        (span.start, span.end, terms.weights.get(span.term, 0.0))
        for language in languages
        for span in term_spans(terms.text, language)
    ]
    try:
        return QueryEmbedding(embedder.embed_query(terms.text, weights))
    except (EmbedderDown, EmbedderRefused) as error:
        logger.warning("recall continues without the embedder", error=error.message)
        return QueryEmbedding(None, degraded="embedder")


def cosines_of(vector: Vector, passages: Sequence[StoredPassage]) -> dict[int, float]:
    """Return the similarities to a vector by passage key, of those passages that have a vector."""
    stored = [(passage.key, passage.vector) for passage in passages if passage.vector is not None]
    if not stored:
        return {}
    cosines = np.stack([other for _, other in stored]) @ vector
    return {key: float(cosine) for (key, _), cosine in zip(stored, cosines, strict=True)}


def _compare_unindexed(snapshot: ReadTransaction, scope: Scope, vector: Vector) -> VectorMatches:
    """Compare the query with passages that are not in the index yet."""
    passages = snapshot.passages.unindexed(scope, MAX_UNINDEXED)
    # A collection is being rebuilt: passages beyond these are not compared at all.
    is_incomplete = len(passages) == MAX_UNINDEXED
    return VectorMatches(
        vector,
        cosines_of(vector, passages),
        degraded="vector_index" if is_incomplete else None,
    )


def _groups(
    snapshot: ReadTransaction, collection_key: int, conversation_keys: Sequence[int]
) -> list[int] | None:
    """Return the conversations to filter on; None for a collection that has no others."""
    collection = snapshot.collections.get(collection_key)
    is_own = collection is not None and collection.conversation_key is not None
    return None if is_own else list(conversation_keys)
