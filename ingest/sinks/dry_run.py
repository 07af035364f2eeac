"""A dry run as a sink: counts what a data folder does not hold yet, and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Self

from ingest.sinks.sink import ConversationSink, SinkBatch, check_user
from ingest.transcripts import Transcript
from ingest.trees.runs import ItemRun
from memory_service.composition.data_folder import open_log
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import StartupError
from memory_service.core.models import Turn
from memory_service.core.settings import Settings
from memory_service.turn_log.log import FILE_NAME, TurnLog


class DryRunSink:
    """Stores nothing; works while a server has the folder open."""

    def __init__(self, settings: Settings, project: str) -> None:
        self._settings = settings
        self._project = project
        self._stack = ExitStack()
        self._log: TurnLog | None = None
        self._project_key: int | None = None
        # Hashes of what would be stored so far, 60 bytes each: exports contain conversations twice.
        self._created: set[int] = set()
        self._added: set[int] = set()

    def __enter__(self) -> Self:
        """Open the log if there is one; a dry run creates no folder."""
        if _exists(self._settings.data_dir / FILE_NAME):
            self._log = open_log(self._settings.data_dir)
            self._stack.callback(self._log.close)
            with self._log.read() as snapshot:
                self._project_key = snapshot.projects.key_of(self._project)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self._stack.close()

    def wants_preparation(self, transcript: Transcript) -> bool:  # noqa: ARG002 - the protocol's
        """Return False: nothing is stored."""
        return False

    def together(self) -> AbstractContextManager[SinkBatch]:
        """Return the sink itself: nothing is stored."""
        return nullcontext(self)

    def conversation(
        self,
        transcript: Transcript,
        prepared: PreparedTurns | None,  # noqa: ARG002 - the protocol's
    ) -> ConversationSink:
        """Return a counter of the items of a transcript."""
        stored = None
        if self._log is not None and self._project_key is not None:
            with self._log.read() as snapshot:
                stored = snapshot.conversations.get(self._project_key, transcript.id)
        if stored is not None:
            check_user(transcript, stored.user)
        key = hash(transcript.id)
        is_new = stored is None and key not in self._created
        self._created.add(key)
        return _CountedConversation(self, is_new=is_new)

    def finish(self, on_lag: Callable[[int], bool]) -> None:
        """Do nothing: nothing was stored."""

    def count_new(self, run: ItemRun) -> int:
        """Return how many items would be new, or stored again because they were edited.

        Item ids are unique in a project, so the conversation does not matter.
        """
        stored: Mapping[str, Turn] = {}
        if self._log is not None and self._project_key is not None:
            with self._log.read() as snapshot:
                stored = snapshot.turns.by_ids(self._project_key, [item.id for item in run.items])
        new = {
            hash((item.id, item.turn.content_hash))
            for item in run.items
            if item.id not in stored or stored[item.id].content_hash != item.turn.content_hash
        }
        count = len(new - self._added)
        self._added |= new
        return count


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}.") from error


class _CountedConversation:
    """One conversation of a dry run."""

    def __init__(self, sink: DryRunSink, *, is_new: bool) -> None:
        self.is_new = is_new
        self._sink = sink

    def append(self, run: ItemRun) -> int:
        """Return how many items of a run would be new."""
        return self._sink.count_new(run)

    def set_head(self, item_id: str) -> None:
        """Do nothing."""
