"""One conversation into a sink: what is there already stays, what is new or was edited is added.

An item is known by its id. An item that comes again under its id with other words was edited: it
gets an id made from its words, and all that follows it gets ids that say after what, so that the
edited conversation is a branch, and the same branch every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ingest.runs import Ready, runs
from ingest.sinks import Sink
from ingest.transcripts import BadRecord, Transcript, derived_id
from memory_service.conversations.preparation import PreparedTurns
from memory_service.core.errors import Conflict, InvalidRequest, NotFound

REFUSED = (BadRecord, InvalidRequest, NotFound, Conflict)
"""What is wrong with one item or one conversation; anything else ends the ingestion."""


@dataclass(slots=True)
class Outcome:
    """What became of a conversation: turns that are new, and messages about those refused."""

    made: bool = False
    new: int = 0
    known: int = 0
    refused: list[str] = field(default_factory=list)


def store(
    transcript: Transcript, items: Sequence[Ready], sink: Sink, plan: PreparedTurns | None
) -> Outcome:
    """Store a conversation; raises one of REFUSED if not even the conversation can be made."""
    outcome = Outcome(made=sink.begin(transcript, plan))
    placing = _Placing(transcript.id, sink, outcome)
    for run in runs(items):
        placing.append(run.items)
    if outcome.new and transcript.head is not None:
        placing.make_live(transcript.head)
    return outcome


class _Placing:
    """Where the items of a transcript are in the sink, as far as that is not where they say."""

    def __init__(self, conversation_id: str, sink: Sink, outcome: Outcome) -> None:
        self._conversation_id = conversation_id
        self._sink = sink
        self._outcome = outcome
        self._stored_as: dict[str, str | None] = {}
        self._edited: set[str] = set()
        self._last: str | None = None

    def append(self, items: Sequence[Ready]) -> None:
        """Store a chain; what cannot be stored is found by halving."""
        placed = self._placed(items)
        first, *others = runs(placed)
        if others:
            # An item between these was refused or edited: they are no chain any more.
            self.append(items[: len(first.items)])
            self.append(items[len(first.items) :])
            return
        try:
            new = self._sink.append(self._conversation_id, first)
        except REFUSED as error:
            if len(items) == 1:
                self._find_another_place(items[0], placed[0], error)
                return
            middle = len(items) // 2
            self.append(items[:middle])
            self.append(items[middle:])
        else:
            self._outcome.new += new
            self._outcome.known += len(items) - new
            self._last = placed[-1].id if new else self._last

    def make_live(self, head: str) -> None:
        """Make the branch that ends in an item the live one, if the last append has not."""
        item_id = self._stored_as.get(head, head)
        if item_id is not None and item_id != self._last:
            self._sink.set_head(self._conversation_id, item_id)

    def _find_another_place(self, item: Ready, placed: Ready, error: Exception) -> None:
        if isinstance(error, Conflict) and item.id not in self._edited:
            said = placed.turn.content_hash.hex()
            self._stored_as[item.id] = derived_id("item", item.id, said, placed.parent or "")
            self._edited.add(item.id)
            self.append([item])
            return
        self._outcome.refused.append(str(error))
        # What hangs on it hangs on what it hung on.
        self._stored_as[item.id] = placed.parent
        if item.parent in self._edited:
            self._edited.add(item.id)

    def _placed(self, items: Sequence[Ready]) -> list[Ready]:
        placed: list[Ready] = []
        for item in items:
            parent = self._stored_as.get(item.parent, item.parent) if item.parent else None
            if item.parent in self._edited and item.id not in self._edited:
                self._stored_as[item.id] = derived_id("item", item.id, parent or "")
                self._edited.add(item.id)
            item_id = self._stored_as.get(item.id) or item.id
            if (item_id, parent) == (item.id, item.parent):
                placed.append(item)
            else:
                placed.append(
                    replace(
                        item,
                        id=item_id,
                        parent=parent,
                        turn=replace(item.turn, id=item_id),
                        stored_as={**item.stored_as, "id": item_id},
                    )
                )
        return placed
