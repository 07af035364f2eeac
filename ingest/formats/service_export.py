"""The project's own format, as `memory-service export` writes it: read back without loss."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, ValidationError

from ingest.records import json_lines
from ingest.sources import Source
from ingest.transcripts import Item, Options, Transcript, Warn
from memory_service.conversations.export import FORMAT

NAME = "export"
EXPECTS = f'JSON lines, each {{"format": "{FORMAT}", "id": …, "items": […]}}'

_MAX_LINE_BYTES = 1024 * 1024 * 1024
"""A line is a whole conversation, with the images in it: it was stored once and is not refused."""
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


def sniff(source: Source) -> bool:
    """Return whether a first line says that it is of this format."""
    mark = f'"format":"{FORMAT}"'
    return any(mark in head.partition("\n")[0].replace(" ", "") for head in source.heads("*.jsonl"))


def parse(source: Source, _options: Options, warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    for member in source.reading("*.jsonl"):
        for place, value, _ in json_lines(member, warn, max_bytes=_MAX_LINE_BYTES):
            try:
                exported = _Line.model_validate(value)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(str(part) for part in problem["loc"])
                warn(place, f"{where}: {problem['msg']}")
                continue
            if exported.format != FORMAT:
                warn(place, f"is of format {exported.format[:80]!r}, not {FORMAT!r}")
                continue
            yield Transcript(
                place=place,
                id=exported.id,
                items=[Item(**item.model_dump()) for item in exported.items],
                head=exported.head,
                user=exported.user,
                title=exported.title,
                metadata=exported.metadata,
                created_at=exported.created_at,
            )
