"""Checks of summaries: the turns that they cover, and their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memory_service.core.models import Conversation, Finding, Summary, Turn
from memory_service.core.protocols import Embedder
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.maintenance.vector_comparison import differ


def check_summaries(
    conversation: Conversation,
    turns: Sequence[Turn],
    summaries: Sequence[Summary],
    embedder: Embedder | None,
) -> Iterator[Finding]:
    """Check that summaries cover turns that exist, and have the vectors of their texts."""
    by_key = {turn.key: turn for turn in turns}
    for summary in summaries:
        tip = by_key.get(summary.tip_key)
        if tip is None or tip.seq != summary.last_seq or summary.first_seq > summary.last_seq:
            yield Finding("summaries", summary.id, "its range does not end in its last turn")
    active = [
        summary for summary in summaries if (tip := by_key.get(summary.tip_key)) and tip.active
    ]
    yield from _coverage(conversation, turns, active)
    if embedder is not None and summaries:
        yield from _vectors(summaries, embedder)


def _coverage(
    conversation: Conversation, turns: Sequence[Turn], summaries: Sequence[Summary]
) -> Iterator[Finding]:
    """Check that every turn below a summary of summaries is covered by a summary of turns."""
    covered = {
        seq
        for summary in summaries
        if summary.level == 1
        for seq in range(summary.first_seq, summary.last_seq + 1)
    }
    stored = {turn.seq for turn in turns if turn.active and turn.role not in SYSTEM_ROLES}
    uncovered = stored - covered
    for summary in summaries:
        if any(summary.first_seq <= seq <= summary.last_seq for seq in uncovered):
            problem = f"{summary.id} covers turns that no summary of turns covers"
            yield Finding("summaries", conversation.id, problem)


def _vectors(summaries: Sequence[Summary], embedder: Embedder) -> Iterator[Finding]:
    derived = embedder.embed_documents([summary.text for summary in summaries])
    for summary, vector in zip(summaries, derived, strict=True):
        # A summary without a vector is queued to be embedded.
        if summary.vector is not None and differ(vector, summary.vector):
            yield Finding("vectors", summary.id, "vector differs from the text")
