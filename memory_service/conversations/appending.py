"""Append turns within a transaction, with their passages, terms and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_service.conversations.language import fix_language
from memory_service.conversations.preparation import PreparedTurns, TurnPreparer
from memory_service.conversations.requests import WriteResult
from memory_service.core import clock
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.turn_log.transactions import WriteTransaction


@dataclass(frozen=True, slots=True)
class Append:
    """New turns of a conversation, each below the one before, the first below `parent`.

    Without a parent the first turn is a root. The transaction has locked the conversation. If the
    turns are `active`, the last one becomes its head. `follows_key` is the turn before them in the
    history of their client, if that is not the parent.
    """

    project_key: int
    conversation: Conversation
    turns: Sequence[NewTurn]
    prepared: PreparedTurns
    parent: Turn | None
    gap_before: bool = False
    active: bool = True
    follows_key: int | None = None


def append_turns(
    transaction: WriteTransaction, preparer: TurnPreparer, append: Append
) -> WriteResult:
    """Store the turns with their passages; return the conversation with the new turns."""
    conversation = append.conversation
    if not append.turns:
        return WriteResult(conversation)
    now = clock.now()
    prepared = append.prepared
    if not prepared.covers(conversation.language, append.turns):
        # Another append has fixed the language since the turns were prepared.
        prepared = preparer.prepare(append.turns, conversation.language)
    stored = transaction.turns.append(
        append.project_key,
        conversation,
        append.turns,
        parent=append.parent,
        gap_before=append.gap_before,
        now=now,
        active=append.active,
        follows_key=append.follows_key,
    )
    if conversation.language is None and prepared.language is not None:
        fix_language(transaction, conversation, prepared.language)
    transaction.passages.add(
        conversation.key,
        {
            turn.key: prepared.passages_of(new)
            for turn, new in zip(stored, append.turns, strict=True)
        },
    )
    if conversation.user_key is not None:
        transaction.users.mark_seen(conversation.user_key, now)
    return WriteResult(
        _grown(conversation, stored, prepared.language, active=append.active), stored, len(stored)
    )


def _grown(
    conversation: Conversation, stored: Sequence[Turn], language: str | None, *, active: bool
) -> Conversation:
    """Return the conversation with its new turns."""
    return replace(
        conversation,
        head_key=stored[-1].key if active else conversation.head_key,
        next_seq=stored[-1].seq + 1,
        language=conversation.language or language,
    )
