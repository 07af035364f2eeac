"""Recall: the turns of a scope that a query is about.

Candidates come from two places, the vector index and the postings; the best of them, widened by
their neighbours on the live path, are scored exactly with the vectors and postings of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from memory_service import ranking
from memory_service.analyser import term_spans
from memory_service.errors import NotFound, VectorIndexDown
from memory_service.interfaces import Embedder, TurnLog, VectorIndex
from memory_service.records import (
    MICROSECONDS,
    Hit,
    Recall,
    Scope,
    ScopeStatistics,
    StoredPassage,
    Turn,
    Vector,
)
from memory_service.turn_log.log import Reader
from memory_service.turn_log.turns import PathPoint

log_line = structlog.get_logger(__name__)

CANDIDATES_PER_CHANNEL = 50
CANDIDATES = 60
MAX_POSTINGS = 20_000
"""Postings read for one query; the rarest terms come first, so what is left out says little."""
MAX_QUERY_TERMS = 32
MAX_UNINDEXED = 5_000
_HITS_READ_AT_ONCE = 32
"""Turns read with their texts at a time, until enough of them pass the filters."""
_REACH = max(ranking.NEIGHBOUR_WEIGHTS)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; `exclude` holds keys of turns that the prompt has anyway."""

    text: str
    top_k: int
    roles: frozenset[str] = frozenset()
    created_after: int | None = None
    created_before: int | None = None
    exclude: frozenset[int] = frozenset()

    def admits(self, turn: Turn) -> bool:
        """Return whether the filters let a turn through; both times are inclusive."""
        return (
            turn.key not in self.exclude
            and (not self.roles or turn.role in self.roles)
            and (self.created_after is None or turn.created_at >= self.created_after)
            and (self.created_before is None or turn.created_at <= self.created_before)
        )

    @property
    def is_filtered(self) -> bool:
        """Return whether turns may be turned away for their role or time."""
        return bool(self.roles) or self.created_after is not None or self.created_before is not None


@dataclass(slots=True)
class _Search:
    """The state of one recall: the scope's statistics, the query's words and its vector."""

    log: Reader
    scope: Scope
    statistics: ScopeStatistics
    weights: dict[str, float] = field(default_factory=dict)
    vector: Vector | None = None
    words: dict[int, float] = field(default_factory=dict)
    vectors: dict[int, float] = field(default_factory=dict)
    best: dict[int, tuple[int, int]] = field(default_factory=dict)
    degraded: str | None = None


class Recaller:
    """The use case that finds turns."""

    def __init__(
        self, log: TurnLog, index: VectorIndex, embedder: Embedder, *, pause_hours: float
    ) -> None:
        self._log = log
        self._index = index
        self._embedder = embedder
        self._pause = round(pause_hours * 3600 * MICROSECONDS)

    def in_conversation(self, project_key: int, conversation_id: str, query: Query) -> Recall:
        """Recall inside one conversation; raises NotFound if the project has no such."""
        with self._log.read() as log:
            conversation = log.conversation(project_key, conversation_id)
            if conversation is None:
                raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
            scope = Scope(
                project_key, (conversation.key,), {conversation.key: conversation.language}
            )
            return self._recall(log, scope, query)

    def of_user(self, project_key: int, user_id: str, query: Query) -> Recall:
        """Recall over all of a user's conversations; raises NotFound if there is no such user."""
        with self._log.read() as log:
            user = log.user_key(project_key, user_id)
            if user is None:
                raise NotFound(f"No user {user_id!r}.", param="user_id")
            return self._recall(log, log.scope_of_user(project_key, user), query)

    def _recall(self, log: Reader, scope: Scope, query: Query) -> Recall:
        search = _Search(log, scope, log.scope_statistics(scope))
        if search.statistics.passages == 0 or query.top_k == 0:
            return Recall([])
        self._score_words(search, query)
        self._embed(search, query)
        self._score_vectors(search)
        turns = self._candidates(search, query)
        ranked = ranking.rank(self._exact(search, turns))
        return Recall(self._hits(search, query, ranked), search.degraded)

    def _score_words(self, search: _Search, query: Query) -> None:
        """Weigh the query's terms by the scope and score the passages that hold them."""
        wanted = _query_terms(query.text, search.scope)
        frequencies = search.log.document_frequencies(search.scope, wanted, at_most=MAX_POSTINGS)
        passages = search.statistics.passages
        search.weights = {
            term: ranking.inverse_document_frequency(count, passages)
            for term, count in frequencies.items()
        }
        read: list[str] = []
        total = 0
        for term in sorted(frequencies, key=lambda term: (frequencies[term], term)):
            total += frequencies[term]
            if len(read) == MAX_QUERY_TERMS or (read and total > MAX_POSTINGS):
                break
            if frequencies[term]:
                read.append(term)
        postings = search.log.postings(search.scope, read) if read else []
        search.words = ranking.bm25(postings, search.weights, search.statistics)

    def _embed(self, search: _Search, query: Query) -> None:
        """Embed the query, each word weighted by how rare it is in the scope."""
        spans = [
            (span.start, span.end, search.weights.get(span.term, 0.0))
            for language in set(search.scope.languages.values())
            for span in term_spans(query.text, language)
        ]
        search.vector = self._embedder.embed_query(query.text, spans)

    def _score_vectors(self, search: _Search) -> None:
        """Ask the index for the nearest passages, and scan those it does not have yet."""
        if search.vector is None:
            return
        try:
            for collection, members in search.log.collections_of(search.scope).items():
                search.vectors.update(
                    self._index.query(
                        collection,
                        search.vector,
                        self._groups(search.log, collection, members),
                        CANDIDATES_PER_CHANNEL,
                    )
                )
        except VectorIndexDown as error:
            log_line.warning("recall goes on without the vector index", error=error.message)
            search.degraded = "vector_index"
        waiting = search.log.unindexed_passages(search.scope, MAX_UNINDEXED)
        search.vectors.update(_cosines(search.vector, waiting))

    def _groups(self, log: Reader, collection: int, members: Sequence[int]) -> list[int] | None:
        """Return the conversations to filter on; None where the collection has no others."""
        found = log.collection(collection)
        return None if found is not None and found.conversation_key is not None else list(members)

    def _candidates(self, search: _Search, query: Query) -> dict[int, PathPoint]:
        """Return the best turns of both channels with their neighbours on the live path."""
        limit = CANDIDATES_PER_CHANNEL * (4 if query.is_filtered else 1)
        by_vector = ranking.top(search.vectors, limit)
        by_words = ranking.top(search.words, limit)
        fused = {
            key: sum(
                1.0 / (60 + order.index(key)) for order in (by_vector, by_words) if key in order
            )
            for key in {*by_vector, *by_words}
        }
        passages = search.log.passages_by_key(ranking.top(fused, max(CANDIDATES, limit)))
        turns = search.log.turns_by_key(
            search.scope.project_key, {passage.turn_key for passage in passages.values()}
        )
        spans: dict[int, list[tuple[int, int]]] = {}
        for turn in turns.values():
            if turn.conversation_key in search.scope.languages:
                spans.setdefault(turn.conversation_key, []).append(
                    (turn.seq - 2 * _REACH, turn.seq + 2 * _REACH)
                )
        return {point.key: point for point in search.log.path_points(spans)}

    def _exact(self, search: _Search, points: Mapping[int, PathPoint]) -> list[ranking.Candidate]:
        """Score each turn with the log's own vectors and postings: its best passage counts."""
        vectors: dict[int, float] = {}
        words: dict[int, float] = {}
        strength: dict[int, tuple[float, float]] = {}
        passages = search.log.passages_of_turns(points)
        cosines = {} if search.vector is None else _cosines(search.vector, passages)
        for passage in passages:
            key = passage.turn_key
            scores = search.words.get(passage.key, 0.0), cosines.get(passage.key, -1.0)
            words[key] = max(words.get(key, 0.0), scores[0])
            if passage.key in cosines:
                vectors[key] = max(vectors.get(key, -1.0), scores[1])
            if key not in strength or scores > strength[key]:
                strength[key] = scores
                search.best[key] = (passage.start, passage.end)
        return [
            ranking.Candidate(
                turn_key=point.key,
                path=path,
                position=position,
                created_at=point.created_at,
                vector=vectors.get(point.key),
                words=words.get(point.key, 0.0),
            )
            for point, path, position in self._stretches(points)
        ]

    def _stretches(self, points: Mapping[int, PathPoint]) -> list[tuple[PathPoint, int, int]]:
        """Give each turn its stretch and its place in it; a long pause or a deletion ends one."""
        found: list[tuple[PathPoint, int, int]] = []
        path, position, before = 0, 0, None
        for point in sorted(points.values(), key=lambda one: (one.conversation_key, one.seq)):
            follows = (
                before is not None
                and point.parent_key == before.key
                and not point.gap_before
                and abs(point.created_at - before.created_at) <= self._pause
            )
            path, position = (path, position + 1) if follows else (path + 1, 0)
            found.append((point, path, position))
            before = point
        return found

    def _hits(self, search: _Search, query: Query, ranked: Sequence[ranking.Ranked]) -> list[Hit]:
        """Read the best turns again under the caller's project, filtered, and number them."""
        project_key = search.scope.project_key
        admitted = self._admitted(search, query, ranked)
        conversations = search.log.conversations_by_key(
            project_key, {turn.conversation_key for _, turn in admitted}
        )
        return [
            Hit(
                turn=turn,
                start=search.best.get(turn.key, (0, len(turn.text)))[0],
                end=search.best.get(turn.key, (0, len(turn.text)))[1],
                conversation_id=conversations[turn.conversation_key].id,
                user_id=conversations[turn.conversation_key].user,
                score=one.score,
                channels=one.channels,
                rank=number,
            )
            for number, (one, turn) in enumerate(admitted, start=1)
        ]

    def _admitted(
        self, search: _Search, query: Query, ranked: Sequence[ranking.Ranked]
    ) -> list[tuple[ranking.Ranked, Turn]]:
        """Return the best turns that the filters let through, reading no more than it takes."""
        found: list[tuple[ranking.Ranked, Turn]] = []
        for start in range(0, len(ranked), _HITS_READ_AT_ONCE):
            some = ranked[start : start + _HITS_READ_AT_ONCE]
            turns = search.log.turns_by_key(
                search.scope.project_key, [one.turn_key for one in some]
            )
            found += [
                (one, turn)
                for one in some
                if (turn := turns.get(one.turn_key)) is not None
                and turn.text
                and query.admits(turn)
            ]
            if len(found) >= query.top_k:
                break
        return found[: query.top_k]


def _query_terms(text: str, scope: Scope) -> list[str]:
    """Return the distinct terms of the query in each language of the scope."""
    return list(
        dict.fromkeys(
            span.term
            for language in sorted(set(scope.languages.values()), key=str)
            for span in term_spans(text, language)
        )
    )


def _cosines(vector: Vector, passages: Sequence[StoredPassage]) -> dict[int, float]:
    known = [(passage.key, passage.vector) for passage in passages if passage.vector is not None]
    if not known:
        return {}
    scores = np.stack([stored for _, stored in known]) @ vector
    return {key: float(score) for (key, _), score in zip(known, scores, strict=True)}
