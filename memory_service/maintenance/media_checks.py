"""Checks of media: their hashes, and that each belongs to a turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from memory_service.core.models import Finding
from memory_service.items.media import media_hash
from memory_service.turn_log.transactions import ReadTransaction


def check_media(snapshot: ReadTransaction, checked: Counter[str]) -> Iterator[Finding]:
    """Check all media, and count them if there are any."""
    for medium in snapshot.media.all():
        checked["media"] += 1
        if media_hash(medium.content) != medium.hash:
            yield Finding("media", str(medium.key), "the hash differs from the content")
    for key in snapshot.media.unreferenced():
        yield Finding("media", str(key), "no turn has this content")
