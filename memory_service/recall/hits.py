"""Stage 5, hits: reads ranked turns from the log, and describes those that were selected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from memory_service.core.models import Hit, Outcome, RecalledSpan, Turn
from memory_service.recall.passages import BestPassage
from memory_service.recall.query import Query
from memory_service.recall.ranking import RankedCandidate
from memory_service.recall.selection import RankedTurn
from memory_service.turn_log.transactions import ReadTransaction

_TURNS_READ_AT_ONCE = 32
"""Turns that are read with their texts at a time, until enough of them pass the filters."""


def read_ranked_turns(
    snapshot: ReadTransaction, project_key: int, query: Query, ranked: Sequence[RankedCandidate]
) -> Iterator[list[RankedTurn]]:
    """Yield the ranked turns that the project has and that have a text, in batches."""
    for start in range(0, len(ranked), _TURNS_READ_AT_ONCE):
        batch = ranked[start : start + _TURNS_READ_AT_ONCE]
        turns = snapshot.turns.by_keys(project_key, [candidate.turn_key for candidate in batch])
        yield [
            RankedTurn(candidate, turn, _exclusion(turn, query))
            for candidate in batch
            if (turn := turns.get(candidate.turn_key)) is not None and turn.text
        ]


def make_hits(
    snapshot: ReadTransaction,
    project_key: int,
    recalled: Sequence[RankedTurn],
    passages: Mapping[int, BestPassage],
) -> list[Hit]:
    """Return recalled turns as hits, each with the span of its best passage."""
    best = [
        passages[ranked.turn.key].passage_key for ranked in recalled if ranked.turn.key in passages
    ]
    spans = {place.turn_key: (place.start, place.end) for place in snapshot.passages.places(best)}
    return _hits(
        snapshot,
        project_key,
        [
            (
                turn,
                RecalledSpan(
                    turn.key,
                    *spans.get(turn.key, (0, len(turn.text))),
                    score=candidate.score,
                    features=candidate.features,
                ),
            )
            for candidate, turn, _ in recalled
        ],
    )


def restore_hits(
    snapshot: ReadTransaction, project_key: int, spans: Sequence[RecalledSpan]
) -> list[Hit]:
    """Return earlier hits in their order, without those whose turns were deleted since."""
    turns = snapshot.turns.by_keys(project_key, [span.turn_key for span in spans])
    return _hits(
        snapshot,
        project_key,
        [(turns[span.turn_key], span) for span in spans if span.turn_key in turns],
    )


def _hits(
    snapshot: ReadTransaction, project_key: int, recalled: Sequence[tuple[Turn, RecalledSpan]]
) -> list[Hit]:
    conversations = snapshot.conversations.by_keys(
        project_key, {turn.conversation_key for turn, _ in recalled}
    )
    return [
        Hit(
            turn=turn,
            start=span.start,
            end=span.end,
            conversation_id=conversations[turn.conversation_key].id,
            user_id=conversations[turn.conversation_key].user,
            score=span.score,
            features=span.features,
            rank=rank,
        )
        for rank, (turn, span) in enumerate(recalled, start=1)
    ]


def _exclusion(turn: Turn, query: Query) -> Outcome | None:
    """Return why a turn may not be recalled, however high its score is."""
    if turn.key in query.exclude:
        return "in_recent_window"
    return None if query.admits(turn) else "filtered"
