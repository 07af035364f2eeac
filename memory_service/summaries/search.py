"""Searching summaries: a search lists them separately from its turns.

A scope has few summaries, about one for a dozen turns, so all of them are compared. Their vectors
are in the log and not in the vector index, and their terms are counted in each search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from memory_service.core.errors import EmbedderDown, EmbedderRefused, NotFound
from memory_service.core.models import (
    Posting,
    Scope,
    ScopeMember,
    ScopeStatistics,
    Summary,
    SummaryHit,
    Vector,
)
from memory_service.core.protocols import Embedder
from memory_service.recall import ranking
from memory_service.recall.word_search import bm25, inverse_document_frequency
from memory_service.text.terms import term_spans, terms
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction

logger = structlog.get_logger(__name__)

MAX_COMPARED = 2_000
"""The newest summaries are compared, up to this number: they cover about 20,000 turns or more."""

_FEATURES_SHOWN = ("vector", "words")


class SummaryFinder:
    """Finds the summaries that match a query."""

    def __init__(self, log: TurnLog, embedder: Embedder) -> None:
        self._log = log
        self._embedder = embedder

    def find(
        self,
        project_key: int,
        query: str,
        *,
        conversation_id: str | None,
        user_id: str | None,
        top_k: int,
    ) -> list[SummaryHit]:
        """Return the best summaries of a conversation, or of all conversations of a user.

        Raises NotFound if the project has no such conversation or user.
        """
        with self._log.read() as snapshot:
            scope = _scope(snapshot, project_key, conversation_id, user_id)
            summaries = snapshot.summaries.of_scope(scope, MAX_COMPARED)
            by_key = {summary.key: summary for summary in summaries}
            best = [
                (by_key[ranked.turn_key], ranked)
                for ranked in self._rank(scope, query, summaries)[:top_k]
            ]
            conversations = snapshot.conversations.by_keys(
                project_key, {summary.conversation_key for summary, _ in best}
            )
        return [
            SummaryHit(
                summary=summary,
                conversation_id=conversations[summary.conversation_key].id,
                user_id=conversations[summary.conversation_key].user,
                score=ranked.score,
                features={name: ranked.features[name] for name in _FEATURES_SHOWN},
                rank=rank,
            )
            for rank, (summary, ranked) in enumerate(best, start=1)
        ]

    def _rank(
        self, scope: Scope, query: str, summaries: Sequence[Summary]
    ) -> list[ranking.RankedCandidate]:
        postings = _postings(summaries, scope.members)
        weights = {
            posting.term: inverse_document_frequency(len(posting.tf), len(summaries))
            for posting in postings
        }
        spans = [span for language in scope.languages for span in term_spans(query, language)]
        words = _word_scores(postings, weights, {span.term for span in spans}, len(summaries))
        vector = self._vector(
            query, [(span.start, span.end, weights.get(span.term, 0.0)) for span in spans]
        )
        return ranking.rank(
            [
                ranking.Candidate(
                    turn_key=summary.key,
                    segment=(summary.key, 0),
                    position=0,
                    created_at=summary.ended_at,
                    vector=_cosine(summary.vector, vector),
                    own_words=words.get(summary.key, 0.0),
                )
                for summary in summaries
            ]
        )

    def _vector(self, query: str, weights: Sequence[tuple[int, int, float]]) -> Vector | None:
        try:
            return self._embedder.embed_query(query, weights)
        except (EmbedderDown, EmbedderRefused) as error:
            logger.warning("summaries are searched without the embedder", error=error.message)
            return None


def _scope(
    snapshot: ReadTransaction, project_key: int, conversation_id: str | None, user_id: str | None
) -> Scope:
    if conversation_id is None:
        user_key = snapshot.users.key_of(project_key, user_id or "")
        if user_key is None:
            raise NotFound(f"No user {user_id!r}.", param="user_id")
        return snapshot.conversations.scope_of_user(project_key, user_key)
    conversation = snapshot.conversations.get(project_key, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return Scope(project_key, {conversation.key: ScopeMember.of(conversation)})


def _postings(summaries: Sequence[Summary], members: Mapping[int, ScopeMember]) -> list[Posting]:
    """Return the summaries' terms, each in the language of its conversation."""
    rows: dict[str, list[tuple[int, int, int]]] = {}
    for summary in summaries:
        summary_terms = terms(summary.text, members[summary.conversation_key].language)
        for term, tf in Counter(summary_terms).items():
            rows.setdefault(term, []).append((summary.key, tf, len(summary_terms)))
    return [Posting.of(term, term_rows) for term, term_rows in rows.items()]


def _word_scores(
    postings: Sequence[Posting],
    weights: Mapping[str, float],
    query_terms: set[str],
    summary_count: int,
) -> Mapping[int, float]:
    """Return the BM25 score of each summary that holds a term of the query, by key."""
    total = sum(int(posting.tf.sum()) for posting in postings)
    statistics = ScopeStatistics(summary_count, total / max(1, summary_count))
    held = (posting for posting in postings if posting.term in query_terms)
    return bm25(held, weights, statistics)


def _cosine(stored: Vector | None, query: Vector | None) -> float | None:
    return None if stored is None or query is None else float(stored @ query)
