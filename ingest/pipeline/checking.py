"""Checks transcripts as the service would: items that can be stored, and problems of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ingest.records.cutter import OMITTED
from ingest.transcripts import Location, RecordProblem, Transcript, TranscriptItem
from ingest.trees.runs import CheckedItem
from memory_service.core.errors import InvalidRequest
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.strict_json import loads

_OMITTED = re.compile(f"{OMITTED}(\\d+)")


@dataclass(frozen=True, slots=True)
class CheckedTranscript:
    """A transcript with the items of it that can be stored, and the others."""

    transcript: Transcript
    items: Sequence[CheckedItem]
    invalid: Sequence[RecordProblem]


def check_transcript(transcript: Transcript, limits: ItemLimits) -> CheckedTranscript:
    """Return a checked transcript; children of an invalid item are attached to its parent."""
    items: list[CheckedItem] = []
    invalid: list[RecordProblem] = []
    # By the id of an invalid item: the nearest item above that is valid.
    replaced: dict[str, str | None] = {}
    for item in transcript.items:
        parent = replaced.get(item.parent, item.parent) if item.parent else None
        location = item.location or transcript.location
        try:
            items.append(_check_item(item, parent, location, limits))
        except InvalidRequest as error:
            invalid.append(RecordProblem(location, error.message))
            replaced[item.id] = parent
    head = transcript.head
    while head in replaced:
        head = replaced[head]
    is_omitted = transcript.title is not None and OMITTED in transcript.title
    title = None if is_omitted else transcript.title
    return CheckedTranscript(replace(transcript, head=head, title=title), items, invalid)


def _check_item(
    item: TranscriptItem, parent: str | None, location: Location, limits: ItemLimits
) -> CheckedItem:
    omitted = _OMITTED.search(item.raw)
    if omitted is not None:
        raise InvalidRequest(f"A text of {int(omitted[1]):,} bytes is too long for an item.")
    fields = {
        "id": item.id,
        "created_at": item.created_at,
        "name": item.name,
        "metadata": item.metadata,
    }
    stored_as = {key: value for key, value in fields.items() if value is not None}
    value = loads(item.raw, max_nesting=limits.max_nesting, subject="The item")
    turn = parse_item(value, item.raw, stored_as, limits, "item")
    return CheckedItem(item.id, parent, item.gap_before, item.raw, turn, stored_as, location)
