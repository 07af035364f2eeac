"""Builds a transcript item by item: repeatable ids, times, and counts of skipped turns.

For formats that list messages one after another; `ingest.trees.tree_items` is for graphs of nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.items.fields import microseconds, rfc3339
from ingest.transcripts import FormatOptions, Location, Transcript, TranscriptItem, derived_id
from ingest.trees.nodes import NOT_ACTIVE, path_to_root
from ingest.trees.times import NodeTime, TimedNode, fill_times
from memory_service.items.strict_json import canonical, dumps


class TranscriptBuilder:
    """Collects the items of a conversation, each below one that was added before.

    An item's id is derived from its parent's id, from `key` (the source's own name for the message)
    or else from the speaker, and from the content. So a file that is read again gives the ids that
    are stored, a file that grew gives new ids at its end only, and after a changed text a branch
    begins: what is stored already is always the beginning of a path.
    """

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.items: list[TranscriptItem] = []
        self.skipped: Counter[str] = Counter()

    @property
    def last(self) -> str | None:
        """The id of the item that was added last."""
        return self.items[-1].id if self.items else None

    def add(
        self,
        message: Any,
        *,
        parent: str | None,
        key: str = "",
        item_id: str | None = None,
        raw: str | None = None,
        created_at: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        location: Location | None = None,
    ) -> str:
        """Add an item and return its id.

        `item_id` is for sources whose messages have ids that never change; `raw` is the message's
        JSON where the source has it.
        """
        if item_id is None:
            source_name = [part for part in (key or name,) if part]
            content = (parent or "", *source_name, canonical(message))
            item_id = derived_id("item", self.conversation_id, *content)
        self.items.append(
            TranscriptItem(
                item_id,
                parent,
                dumps(message) if raw is None else raw,
                created_at=created_at,
                name=name,
                metadata=metadata or None,
                location=location,
            )
        )
        return item_id

    def build(
        self,
        location: Location,
        head: str | None,
        options: FormatOptions,
        *,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        created_at: str | None = None,
        begun: str | None = None,
    ) -> Transcript:
        """Return the transcript: all items or those from the root to `head`, with times.

        `begun` is when the conversation began, for times missing at its start.
        """
        items = self.items if options.branches == "all" else self._active(head)
        if len(items) < len(self.items):
            self.skipped[NOT_ACTIVE] += len(self.items) - len(items)
        return Transcript(
            location=location,
            id=self.conversation_id,
            items=_with_times(items, microseconds(begun)),
            head=head,
            title=title,
            metadata=metadata,
            created_at=created_at,
            skipped=self.skipped,
        )

    def _active(self, head: str | None) -> list[TranscriptItem]:
        by_id = {item.id: item for item in self.items}
        parents = {item.id: item.parent for item in self.items}
        return [by_id[item_id] for item_id in path_to_root(head, parents)][::-1]


def _with_times(items: Sequence[TranscriptItem], begun: int | None) -> list[TranscriptItem]:
    """Return items with times for those that have none, and marks for these."""
    nodes = [
        TimedNode(item.id, item.parent, microseconds(item.created_at), is_turn=True)
        for item in items
    ]
    times = fill_times(nodes, begun)
    return [
        _with_time(item, node.time, times[item.id]) for item, node in zip(items, nodes, strict=True)
    ]


def _with_time(item: TranscriptItem, own: int | None, filled: NodeTime) -> TranscriptItem:
    if filled.mark is None:
        return item
    # The source's own spelling of a time keeps its offset.
    created_at = rfc3339(filled.time) if own is None else item.created_at
    return replace(
        item,
        created_at=created_at or item.created_at,
        metadata={**(item.metadata or {}), "time": filled.mark},
    )
