"""Where transcripts go: what every place can do, a local data folder, and none at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol, Self

from ingest.runs import Run
from ingest.transcripts import BadRecord, Transcript
from memory_service.composition.data_folder import open_log
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.preparation import PreparedTurns
from memory_service.conversations.requests import Below, ConversationChange, NewConversation
from memory_service.core import clock
from memory_service.core.models import Turn
from memory_service.core.settings import Settings
from memory_service.items.fields import check_id, check_metadata, check_user_id
from memory_service.service import Service
from memory_service.turn_log.log import FILE_NAME

_POLL_SECONDS = 0.05


class Sink(Protocol):
    """Stores conversations; what is stored already is found again by its ids."""

    def wants_plan(self, transcript: Transcript) -> bool:
        """Return whether `begin` has use for a plan of this conversation; other threads may ask."""

    def together(self) -> AbstractContextManager[None]:
        """Make what is stored in the block durable at its end, all of it at once if that helps."""

    def begin(self, transcript: Transcript, plan: PreparedTurns | None) -> bool:
        """Return whether a conversation is new; if so it is there after the first `append`.

        `plan` is what was worked out of its items before. Raises BadRecord if it is there and
        another user's.
        """

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run; return how many of its items are new."""

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Wait until everything can be found by its vectors, or `on_lag` says not to wait."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class LocalSink:
    """A data folder that this process owns while it ingests."""

    def __init__(self, settings: Settings, project: str) -> None:
        self._settings = _lean(settings)
        self._project = project
        self._stack = ExitStack()
        self._new: NewConversation | None = None
        self._plan: PreparedTurns | None = None

    def __enter__(self) -> Self:
        """Open the folder; raises StartupError if a server holds it."""
        self._service = self._stack.enter_context(
            Service.open(self._settings, purpose="memory-ingest")
        )
        with self._service.log.write() as transaction:
            self._key = transaction.projects.ensure(self._project, clock.now())
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folder."""
        self._stack.close()

    def wants_plan(self, transcript: Transcript) -> bool:
        """Return whether the conversation is not there yet.

        Planned in the transaction, it would keep the indexer waiting for nothing.
        """
        with self._service.log.read() as snapshot:
            return snapshot.conversations.get(self._key, transcript.id) is None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of the block.

        To flush every small conversation by itself takes longer than to store it.
        """
        with self._service.log.together():
            yield
        self._service.indexer.wake()

    def begin(self, transcript: Transcript, plan: PreparedTurns | None) -> bool:
        """Return whether the conversation is new; it is then made with its first turns."""
        self._new, self._plan = None, plan
        with self._service.log.read() as snapshot:
            found = snapshot.conversations.get(self._key, transcript.id)
        if found is not None:
            check_user(transcript, found.user)
            return False
        created_at = transcript.created_at
        self._new = NewConversation(
            id=check_id(transcript.id, "id"),
            user=None if transcript.user is None else check_user_id(transcript.user, "user"),
            title=transcript.title,
            metadata=check_metadata(transcript.metadata, "metadata"),
            created_at=None
            if created_at is None
            else clock.parse_time(created_at, "created_at")[0],
        )
        return True

    def append(self, conversation_id: str, run: Run) -> int:
        """Store a run; return how many of its items are new."""
        turns = [item.turn for item in run.items]
        if self._new is not None:
            # A transaction for the conversation and one for its turns take half as long again.
            first = [] if run.gap_before else turns
            self._service.writer.create_conversation(
                self._key, self._new, first, UNIDENTIFIED, self._plan
            )
            self._new = None
            if first:
                return len(first)
        stored = self._service.writer.append(
            self._key,
            conversation_id,
            turns,
            UNIDENTIFIED,
            below=Below.ROOT if run.parent is None else run.parent,
            gap_before=run.gap_before,
            prepared=self._plan,
        )
        return stored.new_count

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Make the branch that ends in an item the live one."""
        self._service.writer.update_conversation(
            self._key,
            conversation_id,
            ConversationChange(head_id=item_id),
            UNIDENTIFIED,
        )

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Wait until the vector index has everything that does not keep failing."""
        while True:
            status = self._service.index_status()
            waiting = status.lag - status.parked
            if not on_lag(waiting) or waiting <= 0:
                return
            time.sleep(_POLL_SECONDS)


class DrySink:
    """Stores nothing: counts what a data folder does not have yet. Works beside a server."""

    def __init__(self, settings: Settings, project: str) -> None:
        self._settings = settings
        self._project = project
        self._stack = ExitStack()
        self._key: int | None = None
        # What would be there by now: exports hold conversations twice. Hashes take 60 bytes each.
        self._made: set[int] = set()
        self._added: set[int] = set()

    def __enter__(self) -> Self:
        """Open the log if there is one; a dry run makes no folder."""
        self._log = None
        if (self._settings.data_dir / FILE_NAME).exists():
            self._log = open_log(self._settings.data_dir)
            self._stack.callback(self._log.close)
            with self._log.read() as snapshot:
                self._key = snapshot.projects.key_of(self._project)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self._stack.close()

    def wants_plan(self, transcript: Transcript) -> bool:  # noqa: ARG002 - of none
        """Return no: nothing is stored."""
        return False

    def together(self) -> AbstractContextManager[None]:
        """Do nothing more than the block does."""
        return nullcontext()

    def begin(self, transcript: Transcript, plan: PreparedTurns | None) -> bool:  # noqa: ARG002 - none
        """Return whether the conversation would be made."""
        key = hash(transcript.id)
        is_new, found = key not in self._made, None
        if self._log is not None and self._key is not None:
            with self._log.read() as snapshot:
                found = snapshot.conversations.get(self._key, transcript.id)
        if found is not None:
            check_user(transcript, found.user)
        self._made.add(key)
        return is_new and found is None

    def append(self, conversation_id: str, run: Run) -> int:  # noqa: ARG002 - ids are the project's
        """Return how many items would be new, or stored anew because they were edited."""
        known: Mapping[str, Turn] = {}
        if self._log is not None and self._key is not None:
            with self._log.read() as snapshot:
                known = snapshot.turns.by_ids(self._key, [item.id for item in run.items])
        new = {
            hash((item.id, item.turn.content_hash))
            for item in run.items
            if item.id not in known or known[item.id].content_hash != item.turn.content_hash
        }
        count = len(new - self._added)
        self._added |= new
        return count

    def set_head(self, conversation_id: str, item_id: str) -> None:
        """Do nothing."""

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Do nothing: nothing was stored."""


def check_user(transcript: Transcript, stored_user: str | None) -> None:
    """Raise BadRecord where a conversation is stored already, and not as this user's."""
    if transcript.user not in (None, stored_user):
        whose = "without a user" if stored_user is None else f"as user {stored_user!r}'s"
        raise BadRecord(f"Conversation {transcript.id!r} is stored already, {whose}.")


def _lean(settings: Settings) -> Settings:
    """Return settings for a process that writes much and reads little, unless they say otherwise.

    What a server keeps of the log in memory (64 MiB for each of two connections, and what is
    mapped of the file) is most of what ingesting a large export would take; and Chroma would keep
    every vector: 70 MB for 40,000. Of a batch of 2,000 vectors each costs it 160 µs, of one of the
    256 that others need not wait long for, 250.
    """
    lean = {
        "log_cache_mib": 4,
        "log_mmap_mib": 0,
        "index_batch": 2_000,
        "index_restart_vectors": 40_000,
    }
    given = settings.model_fields_set
    return settings.model_copy(update={k: v for k, v in lean.items() if k not in given})
