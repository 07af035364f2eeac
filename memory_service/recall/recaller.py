"""Recall: finds the turns of a scope that a query is about, in stages that each return a value.

1. Read the query: the time that it means, its terms and their weights, whether it calls for memory.
2. Find candidates: by words, by vectors and by time, widened by their neighbours.
3. Compute the features of each candidate.
4. Score the candidates by their weighted features.
5. Select hits.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core.errors import NotFound
from memory_service.core.models import MICROSECONDS, Recall, RecalledSpan, Scope, ScopeMember, Turn
from memory_service.core.protocols import Embedder, VectorIndex
from memory_service.recall import ranking
from memory_service.recall.caches.branch_cache import BranchCache
from memory_service.recall.caches.token_arrays import TokenArrayCache
from memory_service.recall.caches.vector_cache import VectorCache
from memory_service.recall.candidates import candidate_turns, find_candidates, passage_limit
from memory_service.recall.features import compute_features
from memory_service.recall.hits import make_hits, read_ranked_turns, restore_hits
from memory_service.recall.passages import best_passages, read_texts
from memory_service.recall.query import Query
from memory_service.recall.ranking import ALL_COMPONENTS, Component, RankFunction
from memory_service.recall.relevance import calls_for_memory
from memory_service.recall.selection import SelectionRules, select
from memory_service.recall.stage_times import StageTimes
from memory_service.recall.time_scope import TimeScope, read_time_scope
from memory_service.recall.vector_search import QueryEmbedding, VectorSearch, embed_query
from memory_service.recall.word_search import QueryTerms, WordMatches, search_words, weigh_terms
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction


class Recaller:
    """Recalls turns of a conversation, or of all conversations of a user."""

    def __init__(
        self,
        log: TurnLog,
        index: VectorIndex,
        embedder: Embedder,
        cache: VectorCache,
        *,
        exact_scan_max: int,
        pause_hours: float,
        components: frozenset[Component] = ALL_COMPONENTS,
        rank: RankFunction = ranking.rank,
    ) -> None:
        self._log = log
        self._embedder = embedder
        self._vector_search = VectorSearch(index, cache, exact_scan_max=exact_scan_max)
        self._components = components
        self._rank = rank
        self._token_arrays = TokenArrayCache(embedder.word_vectors)
        self._branches = BranchCache(round(pause_hours * 3600 * MICROSECONDS))

    def in_conversation(self, project_key: int, conversation_id: str, query: Query) -> Recall:
        """Recall inside one conversation; raises NotFound if the project does not have it."""
        times = StageTimes()
        with self._log.read() as snapshot:
            conversation = snapshot.conversations.get(project_key, conversation_id)
            if conversation is None:
                raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
            scope = Scope(project_key, {conversation.key: ScopeMember.of(conversation)})
            return self._recall(snapshot, scope, query, times)

    def of_user(self, project_key: int, user_id: str, query: Query) -> Recall:
        """Recall over all of a user's conversations; raises NotFound if there is no such user."""
        times = StageTimes()
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(project_key, user_id)
            if user_key is None:
                raise NotFound(f"No user {user_id!r}.", param="user_id")
            scope = snapshot.conversations.scope_of_user(project_key, user_key)
            return self._recall(snapshot, scope, query, times)

    def restore(self, project_key: int, spans: Sequence[RecalledSpan]) -> Recall:
        """Return hits as they were recalled before, without those that were deleted since."""
        with self._log.read() as snapshot:
            return Recall(restore_hits(snapshot, project_key, spans))

    def _recall(
        self, snapshot: ReadTransaction, scope: Scope, query: Query, times: StageTimes
    ) -> Recall:
        """Run the stages; `times` gets how long each took."""
        times.end("scope")
        if scope.statistics.passages == 0 or query.top_k == 0:
            return Recall([], stages_ms=times.milliseconds)

        # 1. Read the query.
        time_scope = self._read_time_scope(snapshot, scope, query)
        times.end("time")
        terms = weigh_terms(snapshot, scope, time_scope.text)
        words = search_words(snapshot, scope, terms)
        times.end("words")
        if not self._calls_for_memory(scope, query, terms, words):
            return Recall([], stages_ms=times.milliseconds)

        # 2. Find candidates.
        embedding = self._embed(scope, terms)
        times.end("embed")
        limit = passage_limit(query, time_scope)
        vectors = self._vector_search.search(snapshot, scope, embedding.vector, limit)
        times.end("vectors")
        used_words = words if Component.WORDS in self._components else WordMatches()
        positions = find_candidates(
            snapshot, scope, self._branches, used_words, vectors, time_scope, limit
        )

        # 3. Compute their features, from the best passage of each.
        passages = best_passages(snapshot, scope, positions, terms, used_words, vectors)
        turns = candidate_turns(positions)
        texts = read_texts(snapshot, scope, turns, passages)
        candidates = compute_features(
            terms, scope.languages, turns, texts, passages, time_scope, self._token_arrays
        )

        # 4. Score.
        ranked = self._rank(candidates, self._components)
        times.end("rank")

        # 5. Select hits.
        ranked_turns = read_ranked_turns(snapshot, scope.project_key, query, ranked)
        selected = select(ranked_turns, SelectionRules.of(query, scope, ranked))
        hits = make_hits(snapshot, scope.project_key, selected.recalled, passages)
        times.end("read")
        return Recall(
            hits,
            degraded=embedding.degraded or vectors.degraded,
            considered=selected.considered,
            stages_ms=times.milliseconds,
        )

    def _read_time_scope(self, snapshot: ReadTransaction, scope: Scope, query: Query) -> TimeScope:
        def recall_turns(about_event: Query) -> list[Turn]:
            recall = self._recall(snapshot, scope, about_event, StageTimes())
            return [hit.turn for hit in recall.hits]

        return read_time_scope(snapshot, scope, query, self._branches, recall_turns)

    def _calls_for_memory(
        self, scope: Scope, query: Query, terms: QueryTerms, words: WordMatches
    ) -> bool:
        if not query.relevant_only or Component.RELEVANCE_FLOOR not in self._components:
            return True
        best = max(words.scores.values(), default=0.0)
        return calls_for_memory(query.text, scope.languages, terms.weights, terms.occurring, best)

    def _embed(self, scope: Scope, terms: QueryTerms) -> QueryEmbedding:
        if Component.VECTOR not in self._components:
            return QueryEmbedding(None)
        is_weighted = Component.QUERY_WEIGHTS in self._components
        return embed_query(self._embedder, terms, scope.languages if is_weighted else ())
