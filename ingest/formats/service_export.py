"""The service's own format, as `memory-service export` writes it: read back without loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ingest.records.lines import json_lines
from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Location, Transcript, TranscriptItem, Warn
from memory_service.conversations.export import FORMAT

NAME = "export"
EXPECTS = f'JSON lines, each {{"format": "{FORMAT}", "id": …, "items": […]}}'

_MAX_LINE_BYTES = 1024 * 1024 * 1024
"""A line is a conversation with its images. It was stored before, so the limit is high."""
_SHAPE = ConfigDict(strict=True, extra="forbid")


class _Item(BaseModel):
    model_config = _SHAPE

    id: str
    parent: str | None
    created_at: str
    name: str | None
    metadata: dict[str, str] | None
    gap_before: bool
    raw: str


class _Line(BaseModel):
    model_config = _SHAPE

    format: str
    id: str
    user: str | None
    title: str | None
    metadata: dict[str, str]
    created_at: str
    head: str | None
    items: list[_Item]


def sniff(source: ExportSource) -> bool:
    """Return whether a first line says that it is of this format."""
    mark = f'"format":"{FORMAT}"'
    return any(mark in head.partition("\n")[0].replace(" ", "") for head in source.heads("*.jsonl"))


def parse(source: ExportSource, _options: FormatOptions, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    for member in source.reading("*.jsonl"):
        for location, value, _ in json_lines(member, warn, max_bytes=_MAX_LINE_BYTES):
            line = _checked(location, value, warn)
            if line is not None:
                yield _transcript(location, line)


def _checked(location: Location, value: Any, warn: Warn) -> _Line | None:
    try:
        line = _Line.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        warn(location, f"{field}: {problem['msg']}")
        return None
    if line.format != FORMAT:
        warn(location, f"is of format {line.format[:80]!r}, not {FORMAT!r}")
        return None
    return line


def _transcript(location: Location, line: _Line) -> Transcript:
    return Transcript(
        location=location,
        id=line.id,
        items=[TranscriptItem(**item.model_dump()) for item in line.items],
        head=line.head,
        user=line.user,
        title=line.title,
        metadata=line.metadata,
        created_at=line.created_at,
    )
