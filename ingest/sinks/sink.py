"""A sink is a place where transcripts are stored. The protocols of all kinds of sinks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self

from ingest.transcripts import Transcript
from ingest.trees.runs import ItemRun
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import ServiceError


class RefusedTranscript(ServiceError):
    """A conversation, or a part of one, that the sink does not accept; others are not affected."""


class ConversationSink(Protocol):
    """One conversation of a sink. `is_new` is True if it was not stored before."""

    is_new: bool

    def append(self, run: ItemRun) -> int:
        """Store a run; return how many of its items are new."""

    def set_head(self, item_id: str) -> None:
        """Make the branch that ends in an item the active one."""


class SinkBatch(Protocol):
    """Stores conversations that become durable together."""

    def conversation(
        self, transcript: Transcript, prepared: PreparedTurns | None
    ) -> ConversationSink:
        """Return where the items of a transcript are stored; a new conversation is created.

        `prepared` was made from its items. Raises RefusedTranscript if the conversation is stored
        as another user's.
        """


class Sink(Protocol):
    """Stores conversations; what is stored already is recognised by its ids."""

    def wants_preparation(self, transcript: Transcript) -> bool:
        """Return whether `conversation` uses prepared turns of this one; safe for threads."""

    def together(self) -> AbstractContextManager[SinkBatch]:
        """Make what is stored in the context durable at its end, in one transaction if possible."""

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Wait until all vectors are indexed, or until `on_lag` returns False."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def check_user(transcript: Transcript, stored_user: str | None) -> None:
    """Raise RefusedTranscript if a conversation is stored already, as another user's."""
    if transcript.user not in (None, stored_user):
        owner = "without a user" if stored_user is None else f"for user {stored_user!r}"
        raise RefusedTranscript(f"Conversation {transcript.id!r} is already stored {owner}.")
