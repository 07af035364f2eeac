"""Building a conversation item by item: ids that are found again, times, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.openai_items import microseconds, rfc3339, storable
from ingest.transcripts import Item, Options, derived_id
from ingest.tree import NOT_LIVE
from memory_service.items.fields import MAX_NAME_CHARS
from memory_service.items.strict_json import canonical, dumps

_MAX_TITLE_CHARS = 500


class Chain:
    """The items of a conversation, each below one that was added before.

    An item's id comes from its parent's, from `key` (what the source calls it), else who says it,
    and from what it says. So a file that is read again finds what is stored, one that grew adds its
    end, and where a text was changed a branch begins: what is known is always the beginning of a
    path.
    """

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.items: list[Item] = []
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
    ) -> str:
        """Add an item and return its id.

        `item_id` is for sources that name every message for good; `raw` is the message's JSON where
        the source has it.
        """
        if item_id is None:
            named = [part for part in (key or name,) if part]
            said = (parent or "", *named, canonical(message))
            item_id = derived_id("item", self.conversation_id, *said)
        raw = dumps(message) if raw is None else raw
        self.items.append(
            Item(item_id, parent, raw, created_at=created_at, name=name, metadata=metadata or None)
        )
        return item_id

    def kept(self, head: str | None, options: Options, *, begun: str | None = None) -> list[Item]:
        """Return the items that are wanted, all or those from the root to `head`, with times.

        `begun` is when the conversation began, for items without any time around them.
        """
        if options.branches == "all":
            return _dated(self.items, begun)
        by_id = {item.id: item for item in self.items}
        live: list[Item] = []
        while head is not None:
            live.append(by_id[head])
            head = live[-1].parent
        if len(live) < len(self.items):
            self.skipped[NOT_LIVE] += len(self.items) - len(live)
        return _dated(live[::-1], begun)


def title(text: Any) -> str | None:
    """Return a title as it can be stored: a string on one line, cut to what fits; else None."""
    return (_one_line(text)[:_MAX_TITLE_CHARS] or None) if isinstance(text, str) else None


def speaker(name: str) -> str | None:
    """Return a speaker's name as it can be stored: on one line, cut to what fits."""
    return _one_line(name)[:MAX_NAME_CHARS].strip() or None


def time_of(value: Any) -> str | None:
    """Return what says a time, in any spelling, as RFC 3339 in UTC; None if it is none."""
    return rfc3339(microseconds(value))


def _one_line(text: str) -> str:
    return " ".join(storable(text).split())


def _dated(items: Sequence[Item], begun: str | None) -> list[Item]:
    """Return items, parents first, with times for those that have none, and marks for these.

    They are spread evenly between the times before and after along a branch.
    """
    own = {item.id: microseconds(item.created_at) for item in items}
    coming: dict[str | None, tuple[int | None, int]] = {}
    for item in reversed(items):
        after, steps = coming.get(item.id, (None, 0))
        time = own[item.id]
        # Of several children, the last one is met first.
        coming.setdefault(item.parent, (after, steps + 1) if time is None else (time, 0))
    found: dict[str | None, int | None] = {None: microseconds(begun)}
    dated: list[Item] = []
    for item in items:
        before, time = found.get(item.parent), own[item.id]
        if time is None:
            found[item.id] = _between(before, *coming.get(item.id, (None, 0)))
            mark = "unknown" if found[item.id] is None else "interpolated"
            dated.append(_marked(item, mark, rfc3339(found[item.id])))
            continue
        found[item.id] = time
        early = before is not None and time < before
        dated.append(_marked(item, "before the turn it answers") if early else item)
    return dated


def _between(before: int | None, after: int | None, steps: int) -> int | None:
    """Return the first of the times that divide the span from `before` to `after`."""
    if before is None or after is None or after < before:
        return after if before is None else before
    return before + (after - before) // (steps + 2)


def _marked(item: Item, mark: str, created_at: str | None = None) -> Item:
    metadata = {**(item.metadata or {}), "time": mark}
    return replace(item, created_at=created_at or item.created_at, metadata=metadata)
