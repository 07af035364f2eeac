"""Recognise a repeated request, so that nothing is stored twice.

A client may send a request again because it did not receive the response. A repeated request is
recognised in three ways:

1. its Idempotency-Key;
2. the ids of its items (`append_checks` compares them);
3. for clients that repeat a request without either: a retry header, and content that equals the
   newest turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memory_service.conversations.requests import NewConversation, WriteResult
from memory_service.core import clock
from memory_service.core.errors import Conflict
from memory_service.core.models import MICROSECONDS, Conversation, NewTurn, Turn
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Attempt:
    """What identifies a request: its Idempotency-Key, the hash of its content, its retry header."""

    key: str | None
    request_hash: bytes
    is_retry: bool


UNIDENTIFIED = Attempt(key=None, request_hash=b"", is_retry=False)
"""The attempt of a request that cannot be recognised if it is repeated."""


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """How long an earlier request is recognised: by a retry header, and by an Idempotency-Key."""

    retry_window_seconds: int
    idempotency_hours: int


class IdempotencyChecker:
    """Finds what an earlier attempt of a request has stored, and records what this one stores."""

    def __init__(self, limits: WriterLimits) -> None:
        self._limits = limits

    def keyed_result(
        self, snapshot: ReadTransaction, project_key: int, attempt: Attempt
    ) -> WriteResult | None:
        """Return what a request with this Idempotency-Key has stored; None if there was none.

        Raises Conflict if the key was used for another request.
        """
        if attempt.key is None:
            return None
        earlier = snapshot.idempotency.get(project_key, attempt.key, self._oldest_key())
        if earlier is None:
            return None
        if earlier.request_hash != attempt.request_hash:
            raise Conflict(
                "This Idempotency-Key was used for another request.", code="idempotency_key_reused"
            )
        return _result_by_reference(snapshot, project_key, earlier.result)

    def repeated_creation(
        self,
        transaction: WriteTransaction,
        project_key: int,
        new: NewConversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> WriteResult | None:
        """Return the conversation that this retry has created before; None if its id is free.

        Raises Conflict if the id belongs to another conversation.
        """
        conversation = transaction.conversations.get(project_key, new.id or "")
        if conversation is None:
            return None
        stored = transaction.turns.in_range(conversation.key, 1, len(turns))
        is_recent = transaction.conversations.stored_at(conversation.key) >= self._oldest_retry()
        if attempt.is_retry and is_recent and _is_same_creation(conversation, stored, new, turns):
            return WriteResult(conversation, stored)
        raise Conflict(f"A conversation {new.id!r} exists already.", param="id", code="id_exists")

    def repeated_append(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> Sequence[Turn]:
        """Return the newest turns if a retry without a key has stored them before, else none."""
        if not attempt.is_retry or not turns:
            return ()
        newest = snapshot.turns.newest(conversation.key, len(turns))
        oldest = self._oldest_retry()
        if len(newest) == len(turns) and all(
            _is_same_turn(new, stored) and stored.stored_at >= oldest
            for new, stored in zip(turns, newest, strict=True)
        ):
            return newest
        return ()

    def record(
        self,
        transaction: WriteTransaction,
        project_key: int,
        attempt: Attempt,
        result: WriteResult,
    ) -> None:
        """Record which turns a request with an Idempotency-Key has stored."""
        if attempt.key is None:
            return
        seqs = [turn.seq for turn in result.turns]
        conversation_key = result.conversation.key
        transaction.idempotency.add(
            project_key,
            attempt.key,
            attempt.request_hash,
            {"conversation": conversation_key, "turns": [turn.key for turn in result.turns]},
            conversation_key=conversation_key,
            seqs=(min(seqs), max(seqs)) if seqs else None,
            now=clock.now(),
            delete_before=self._oldest_key(),
        )

    def _oldest_key(self) -> int:
        hours = self._limits.idempotency_hours
        return clock.now() - hours * _SECONDS_PER_HOUR * MICROSECONDS

    def _oldest_retry(self) -> int:
        return clock.now() - self._limits.retry_window_seconds * MICROSECONDS


def _result_by_reference(
    snapshot: ReadTransaction, project_key: int, reference: Mapping[str, Any]
) -> WriteResult | None:
    """Return a recorded result; None if its conversation was deleted since."""
    key = reference["conversation"]
    conversation = snapshot.conversations.by_keys(project_key, [key]).get(key)
    if conversation is None:
        return None
    turns = snapshot.turns.by_keys(project_key, reference["turns"])
    return WriteResult(conversation, [turns[key] for key in reference["turns"] if key in turns])


def _is_same_creation(
    conversation: Conversation,
    stored: Sequence[Turn],
    new: NewConversation,
    turns: Sequence[NewTurn],
) -> bool:
    return (
        conversation.user == new.user
        and conversation.title == new.title
        and dict(conversation.metadata) == dict(new.metadata)
        and conversation.summaries == new.summaries
        and [turn.content_hash for turn in stored] == [turn.content_hash for turn in turns]
    )


def _is_same_turn(new: NewTurn, stored: Turn) -> bool:
    return (
        new.content_hash == stored.content_hash
        and (not new.id_given or new.id == stored.id)
        and new.created_at in (None, stored.created_at)
    )
