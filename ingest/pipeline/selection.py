"""Which transcripts of a source are stored: by time, title and number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.transcripts import Transcript
from memory_service.core.clock import parse_time
from memory_service.core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class TranscriptSelection:
    """The conversations that are wanted.

    `since` and `until` are in microseconds since the epoch: a part of the conversation must be
    between them. `title` must match somewhere in the title. `limit` is a number of conversations.
    """

    since: int | None = None
    until: int | None = None
    title: re.Pattern[str] | None = None
    limit: int | None = None

    def reason_to_skip(self, transcript: Transcript) -> str | None:
        """Return why a conversation is not wanted; None if it is. `limit` is not considered."""
        if self.title is not None and not self.title.search(transcript.title or ""):
            return "title does not match"
        if (self.since is not None or self.until is not None) and not self._is_in_time(transcript):
            return "outside the requested time"
        return None

    def _is_in_time(self, transcript: Transcript) -> bool:
        times = list(_times(transcript))
        return bool(times) and not (
            (self.since is not None and max(times) < self.since)
            or (self.until is not None and min(times) >= self.until)
        )


def _times(transcript: Transcript) -> Iterator[int]:
    for text in (*(item.created_at for item in transcript.items), transcript.created_at):
        if text is not None:
            try:
                yield parse_time(text, "created_at")[0]
            except InvalidRequest:
                continue
