"""Searching summaries: beside the turns of a search, never among them.

A scope has few summaries, one for some dozen turns, so all of them are compared: their vectors are
in the log and not in the vector index, and their words are counted anew each time.
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
"""Summaries that are compared, the newest: they tell of some 20,000 turns or more."""


class SummaryFinder:
    """The use case that finds summaries."""

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
        """Return the summaries of a conversation, or of all of a user's, that a query is about.

        Raises NotFound if the project has no such conversation or user.
        """
        with self._log.read() as snapshot:
            scope = _scope(snapshot, project_key, conversation_id, user_id)
            summaries = snapshot.summaries.of_scope(scope, MAX_COMPARED)
            by_key = {one.key: one for one in summaries}
            ranked = self._rank(scope, query, summaries)[:top_k]
            conversations = snapshot.conversations.by_keys(
                project_key, {by_key[one.turn_key].conversation_key for one in ranked}
            )
        return [
            SummaryHit(
                summary=by_key[one.turn_key],
                conversation_id=conversations[by_key[one.turn_key].conversation_key].id,
                user_id=conversations[by_key[one.turn_key].conversation_key].user,
                score=one.score,
                features={name: one.features[name] for name in ("vector", "words")},
                rank=rank,
            )
            for rank, one in enumerate(ranked, start=1)
        ]

    def _rank(
        self, scope: Scope, query: str, summaries: Sequence[Summary]
    ) -> list[ranking.RankedCandidate]:
        postings = _postings(summaries, scope.members)
        total = sum(int(posting.tf.sum()) for posting in postings)
        statistics = ScopeStatistics(len(summaries), total / max(1, len(summaries)))
        weights = {
            posting.term: inverse_document_frequency(len(posting.tf), len(summaries))
            for posting in postings
        }
        spans = [span for language in scope.languages for span in term_spans(query, language)]
        asked = {span.term for span in spans}
        words = bm25(
            (posting for posting in postings if posting.term in asked), weights, statistics
        )
        vector = self._vector(
            query, [(span.start, span.end, weights.get(span.term, 0.0)) for span in spans]
        )
        return ranking.rank(
            [
                ranking.Candidate(
                    turn_key=one.key,
                    segment=(one.key, 0),
                    position=0,
                    created_at=one.ended_at,
                    vector=_cosine(one.vector, vector),
                    own_words=words.get(one.key, 0.0),
                )
                for one in summaries
            ]
        )

    def _vector(self, query: str, weights: Sequence[tuple[int, int, float]]) -> Vector | None:
        try:
            return self._embedder.embed_query(query, weights)
        except (EmbedderDown, EmbedderRefused) as error:
            logger.warning("summaries are found without the embedder", error=error.message)
            return None


def _scope(
    snapshot: ReadTransaction, project_key: int, conversation_id: str | None, user_id: str | None
) -> Scope:
    if conversation_id is None:
        user = snapshot.users.key_of(project_key, user_id or "")
        if user is None:
            raise NotFound(f"No user {user_id!r}.", param="user_id")
        return snapshot.conversations.scope_of_user(project_key, user)
    found = snapshot.conversations.get(project_key, conversation_id)
    if found is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    member = ScopeMember.of(found)
    return Scope(project_key, {found.key: member})


def _postings(summaries: Sequence[Summary], members: Mapping[int, ScopeMember]) -> list[Posting]:
    """Return the summaries' terms, each in the language of its conversation."""
    held: dict[str, list[tuple[int, int, int]]] = {}
    for one in summaries:
        found = terms(one.text, members[one.conversation_key].language)
        for term, tf in Counter(found).items():
            held.setdefault(term, []).append((one.key, tf, len(found)))
    return [Posting.of(term, rows) for term, rows in held.items()]


def _cosine(stored: Vector | None, asked: Vector | None) -> float | None:
    return None if stored is None or asked is None else float(stored @ asked)
