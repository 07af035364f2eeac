"""Stores one transcript in a sink: stored items are kept, new and edited items are added.

An item is recognised by its id. An item with a stored id and other content was edited: it gets an
id derived from its content, and all items below it get ids derived from their new parents. So the
edited conversation is a branch, and the same branch each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ingest.sinks.sink import ConversationSink, RefusedTranscript, SinkBatch
from ingest.transcripts import RecordProblem, Transcript, derived_id
from ingest.trees.runs import CheckedItem, item_runs
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import Conflict, InvalidRequest, NotFound, ServiceError

REFUSED = (RefusedTranscript, InvalidRequest, NotFound, Conflict)
"""Errors about one item or one conversation; any other error ends the ingestion."""


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """The result for a conversation: whether it is new, counts of its turns, refused items."""

    is_new: bool = False
    new: int = 0
    already_there: int = 0
    refused: Sequence[RecordProblem] = ()


def store_transcript(
    transcript: Transcript,
    items: Sequence[CheckedItem],
    sink: SinkBatch,
    prepared: PreparedTurns | None,
) -> StoreOutcome:
    """Store a conversation; raises one of REFUSED if the conversation itself is refused."""
    writer = _TranscriptWriter(sink.conversation(transcript, prepared))
    for run in item_runs(items):
        writer.append(run.items)
    if writer.new and transcript.head is not None:
        writer.set_head(transcript.head)
    return writer.outcome()


class _TranscriptWriter:
    """Appends items, and knows which of them are stored under another id than their own."""

    def __init__(self, conversation: ConversationSink) -> None:
        self._conversation = conversation
        self._is_new = conversation.is_new
        self._already_there = 0
        self._refused: list[RecordProblem] = []
        # By an item's own id: the id it is stored under, or its parent's if it was refused.
        self._stored_ids: dict[str, str | None] = {}
        self._edited: set[str] = set()
        self._last: str | None = None
        self.new = 0

    def outcome(self) -> StoreOutcome:
        """Return the outcome for the items so far."""
        return StoreOutcome(self._is_new, self.new, self._already_there, tuple(self._refused))

    def append(self, items: Sequence[CheckedItem]) -> None:
        """Store a run of items; an item that is refused is found by halving the run."""
        placed = self._placed(items)
        first, *others = item_runs(placed)
        if others:
            # An item between these was refused or edited, so they are several runs now.
            self.append(items[: len(first.items)])
            self.append(items[len(first.items) :])
            return
        try:
            new = self._conversation.append(first)
        except REFUSED as error:
            if len(items) == 1:
                self._store_as_branch(items[0], placed[0], error)
                return
            middle = len(items) // 2
            self.append(items[:middle])
            self.append(items[middle:])
        else:
            self.new += new
            self._already_there += len(items) - new
            self._last = placed[-1].id if new else self._last

    def set_head(self, head: str) -> None:
        """Make the branch that ends in an item the active one, if the last append has not."""
        item_id = self._stored_ids.get(head, head)
        if item_id is not None and item_id != self._last:
            self._conversation.set_head(item_id)

    def _store_as_branch(self, item: CheckedItem, placed: CheckedItem, error: ServiceError) -> None:
        """Store an edited item under an id of its own; else count it as refused."""
        if isinstance(error, Conflict) and item.id not in self._edited:
            content = placed.turn.content_hash.hex()
            self._stored_ids[item.id] = derived_id("item", item.id, content, placed.parent or "")
            self._edited.add(item.id)
            self.append([item])
            return
        self._refused.append(RecordProblem(item.location, error.message))
        # The children of a refused item are attached to its parent.
        self._stored_ids[item.id] = placed.parent
        if item.parent in self._edited:
            self._edited.add(item.id)

    def _placed(self, items: Sequence[CheckedItem]) -> list[CheckedItem]:
        """Return items with the ids and parents under which they are stored."""
        placed: list[CheckedItem] = []
        for item in items:
            parent = self._stored_ids.get(item.parent, item.parent) if item.parent else None
            if item.parent in self._edited and item.id not in self._edited:
                self._stored_ids[item.id] = derived_id("item", item.id, parent or "")
                self._edited.add(item.id)
            item_id = self._stored_ids.get(item.id) or item.id
            if (item_id, parent) == (item.id, item.parent):
                placed.append(item)
            else:
                placed.append(_moved(item, item_id, parent))
        return placed


def _moved(item: CheckedItem, item_id: str, parent: str | None) -> CheckedItem:
    return replace(
        item,
        id=item_id,
        parent=parent,
        turn=replace(item.turn, id=item_id),
        stored_as={**item.stored_as, "id": item_id},
    )
