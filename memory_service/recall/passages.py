"""Stage 3, texts: the passage of each candidate that matches the query best, and what it says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memory_service.core.models import Scope
from memory_service.recall.candidates import BranchPositions, CandidateTurn
from memory_service.recall.vector_search import ScoredPassage, VectorMatches, cosines_of
from memory_service.recall.word_search import QueryTerms, WordMatches, bm25
from memory_service.turn_log.repositories.turns import PassageTextRow
from memory_service.turn_log.transactions import ReadTransaction


class BestPassage(NamedTuple):
    """The passage of a turn that matches best; `cosine` is the best of all its passages, if any."""

    passage_key: int
    cosine: float | None


@dataclass(frozen=True, slots=True)
class PassageText:
    """The text of a candidate's best passage, the language it is analysed in, and its speaker.

    `follows` says that its turn is the next one after the turn before in the list.
    """

    speaker: str
    by_user: bool
    text: str
    language: str | None
    follows: bool


def best_passages(
    snapshot: ReadTransaction,
    scope: Scope,
    candidates: Mapping[int, BranchPositions],
    terms: QueryTerms,
    words: WordMatches,
    vectors: VectorMatches,
) -> dict[int, BestPassage]:
    """Return the best passage of each candidate by its turn key: by BM25, then by similarity."""
    passages = {
        key: _passages_of(snapshot, key, positions, vectors)
        for key, positions in candidates.items()
    }
    scores = _with_common_terms(snapshot, scope, passages, terms, words)
    by_turn: dict[int, list[ScoredPassage]] = {}
    for passage in itertools.chain.from_iterable(passages.values()):
        by_turn.setdefault(passage.turn_key, []).append(passage)
    return {turn_key: _best(of_turn, scores) for turn_key, of_turn in by_turn.items()}


def read_texts(
    snapshot: ReadTransaction,
    scope: Scope,
    turns: Sequence[CandidateTurn],
    best: Mapping[int, BestPassage],
) -> list[PassageText]:
    """Return the text of the best passage of each turn; a turn without passages has no text."""
    rows = snapshot.turns.passage_texts(
        scope.project_key, [passage.passage_key for passage in best.values()]
    )
    by_turn = {row.turn_key: row for row in rows}
    return [
        _text(scope, turn, by_turn.get(turn.turn_key), follows=follows)
        for turn, follows in zip(turns, _follows(turns), strict=True)
    ]


def _text(
    scope: Scope, turn: CandidateTurn, row: PassageTextRow | None, *, follows: bool
) -> PassageText:
    return PassageText(
        speaker="" if row is None else row.name or row.role,
        by_user=turn.by_user,
        text="" if row is None else row.text,
        language=scope.members[turn.conversation_key].language,
        follows=follows,
    )


def _follows(turns: Sequence[CandidateTurn]) -> list[bool]:
    """Return for each turn whether it is the next one after the turn before in the list."""
    after_first = [turn.follows(before) for before, turn in itertools.pairwise(turns)]
    return [False, *after_first] if turns else []


def _passages_of(
    snapshot: ReadTransaction,
    conversation_key: int,
    candidates: BranchPositions,
    vectors: VectorMatches,
) -> list[ScoredPassage]:
    """Return the passages of candidates; where no scan compared them, they are compared now."""
    scanned = vectors.scanned.get(conversation_key)
    if scanned is not None:
        return scanned.of_turns(candidates.turn_keys)
    stored = snapshot.passages.of_turns(candidates.turn_keys.tolist())
    cosines = {} if vectors.query is None else cosines_of(vectors.query, stored)
    return [
        ScoredPassage(passage.key, passage.turn_key, cosines.get(passage.key)) for passage in stored
    ]


def _with_common_terms(
    snapshot: ReadTransaction,
    scope: Scope,
    passages: Mapping[int, Sequence[ScoredPassage]],
    terms: QueryTerms,
    words: WordMatches,
) -> dict[int, float]:
    """Return the BM25 scores of passages with the query's common terms, which are looked up now."""
    if not words.common_terms:
        return dict(words.scores)
    keys = {
        conversation_key: [passage.passage_key for passage in of_conversation]
        for conversation_key, of_conversation in passages.items()
    }
    postings = snapshot.postings.in_passages(words.common_terms, keys)
    scores = dict(words.scores)
    for key, score in bm25(postings, terms.weights, scope.statistics).items():
        scores[key] = scores.get(key, 0.0) + score
    return scores


def _best(passages: Sequence[ScoredPassage], scores: Mapping[int, float]) -> BestPassage:
    """Return the best passage of one turn; of equal ones the first."""
    best = max(
        passages,
        key=lambda passage: (
            scores.get(passage.passage_key, 0.0),
            -1.0 if passage.cosine is None else passage.cosine,
        ),
    )
    cosines = [passage.cosine for passage in passages if passage.cosine is not None]
    return BestPassage(best.passage_key, max(cosines, default=None))
