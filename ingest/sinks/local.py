"""A local data folder as a sink: this process owns it while it ingests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from ingest.sinks.sink import ConversationSink, check_user
from ingest.transcripts import Transcript
from ingest.trees.runs import ItemRun
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.preparation import PreparedTurns
from memory_service.conversations.requests import Below, ConversationChange, NewConversation
from memory_service.conversations.writer import ConversationWriter
from memory_service.core import clock
from memory_service.core.settings import Settings
from memory_service.items.fields import check_id, check_metadata, check_user_id
from memory_service.items.strict_json import check_text
from memory_service.service import Service
from memory_service.turn_log.log import TransactionBatch

_POLL_SECONDS = 0.05


class LocalSink:
    """Stores conversations in a data folder, through the service itself."""

    def __init__(self, settings: Settings, project: str) -> None:
        self._settings = _write_settings(settings)
        self._project = project
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open the folder; raises StartupError if a server holds it."""
        self._service = self._stack.enter_context(
            Service.open(self._settings, purpose="memory-ingest")
        )
        with self._service.log.write() as transaction:
            self._project_key = transaction.projects.ensure(self._project, clock.now())
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folder."""
        self._stack.close()

    def wants_preparation(self, transcript: Transcript) -> bool:
        """Return whether the conversation is not stored yet.

        Preparing turns inside the transaction would keep the indexer waiting.
        """
        with self._service.log.read() as snapshot:
            return snapshot.conversations.get(self._project_key, transcript.id) is None

    @contextmanager
    def together(self) -> Iterator[_LocalBatch]:
        """Store everything in the context in one transaction.

        Flushing each small conversation takes longer than storing it.
        """
        with self._service.log.batch() as transactions:
            writer = self._service.writer.within(transactions)
            yield _LocalBatch(transactions, writer, self._project_key)
        self._service.indexer.wake()

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Wait until the vector index holds every passage that does not fail permanently."""
        while True:
            status = self._service.index_status()
            waiting = status.lag - status.parked
            if not on_lag(waiting) or waiting <= 0:
                return
            time.sleep(_POLL_SECONDS)


class _LocalBatch:
    """Conversations that are stored in one transaction."""

    def __init__(
        self, transactions: TransactionBatch, writer: ConversationWriter, project_key: int
    ) -> None:
        self._transactions = transactions
        self._writer = writer
        self._project_key = project_key

    def conversation(
        self, transcript: Transcript, prepared: PreparedTurns | None
    ) -> ConversationSink:
        """Return where the items of a transcript are stored."""
        with self._transactions.read() as snapshot:
            stored = snapshot.conversations.get(self._project_key, transcript.id)
        if stored is not None:
            check_user(transcript, stored.user)
        return _LocalConversation(
            self._writer,
            self._project_key,
            transcript.id,
            prepared,
            _new_conversation(transcript) if stored is None else None,
        )


class _LocalConversation:
    """One conversation of a data folder; a new one is created with its first turns."""

    def __init__(
        self,
        writer: ConversationWriter,
        project_key: int,
        conversation_id: str,
        prepared: PreparedTurns | None,
        to_create: NewConversation | None,
    ) -> None:
        self.is_new = to_create is not None
        self._writer = writer
        self._project_key = project_key
        self._id = conversation_id
        self._prepared = prepared
        self._to_create = to_create

    def append(self, run: ItemRun) -> int:
        """Store a run; return how many of its items are new."""
        turns = [item.turn for item in run.items]
        if self._to_create is not None:
            # Separate transactions for the conversation and its turns take 1.5 times as long.
            first = [] if run.gap_before else turns
            self._writer.create_conversation(
                self._project_key, self._to_create, first, UNIDENTIFIED, self._prepared
            )
            self._to_create = None
            if first:
                return len(first)
        stored = self._writer.append(
            self._project_key,
            self._id,
            turns,
            UNIDENTIFIED,
            below=Below.ROOT if run.parent is None else run.parent,
            gap_before=run.gap_before,
            prepared=self._prepared,
        )
        return stored.new_count

    def set_head(self, item_id: str) -> None:
        """Make the branch that ends in an item the active one."""
        self._writer.update_conversation(
            self._project_key,
            self._id,
            ConversationChange(head_id=item_id),
            UNIDENTIFIED,
        )


def _new_conversation(transcript: Transcript) -> NewConversation:
    title, user, created_at = transcript.title, transcript.user, transcript.created_at
    return NewConversation(
        id=check_id(transcript.id, "id"),
        user=None if user is None else check_user_id(user, "user"),
        title=None if title is None else check_text(title, "title"),
        metadata=check_metadata(transcript.metadata, "metadata"),
        created_at=None if created_at is None else clock.parse_time(created_at, "created_at")[0],
    )


def _write_settings(settings: Settings) -> Settings:
    """Return settings for a process that writes much and reads little; those given are kept.

    A server's page cache (64 MiB for each of two connections) and the mapped part of the file are
    most of the memory that ingesting a large export would take, and Chroma would keep every vector:
    70 MB for 40,000. A vector takes Chroma 160 µs in batches of 2,000, and 250 µs in batches of
    256, a size that lets other users wait less.
    """
    defaults = {
        "log_cache_mib": 4,
        "log_mmap_mib": 0,
        "index_batch": 2_000,
        "index_restart_vectors": 40_000,
    }
    given = settings.model_fields_set
    return settings.model_copy(
        update={name: value for name, value in defaults.items() if name not in given}
    )
