"""The project's own format, as `memory-service export` writes it: read back without loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ingest.transcripts import Item, Transcript, Warn, lines
from memory_service.errors import InvalidRequest
from memory_service.export import FORMAT
from memory_service.strict_json import loads

NAME = "export"
EXPECTS = f'JSON lines, each {{"format": "{FORMAT}", "id": …, "items": […]}}'

_MAX_NESTING = 16
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


def sniff(head: str) -> bool:
    """Return whether the first line says that it is of this format."""
    return f'"format":"{FORMAT}"' in head.partition("\n")[0].replace(" ", "")


def parse(file: IO[str], warn: Warn) -> Iterator[Transcript]:
    """Yield the conversations of an export."""
    for record, line in lines(file):
        try:
            value: Any = loads(line, max_nesting=_MAX_NESTING)
            exported = _Line.model_validate(value)
        except InvalidRequest as error:
            warn(record, error.message)
            continue
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(str(part) for part in problem["loc"])
            warn(record, f"{place}: {problem['msg']}")
            continue
        if exported.format != FORMAT:
            warn(record, f"is of format {exported.format[:80]!r}, not {FORMAT!r}")
            continue
        yield Transcript(
            record=record,
            id=exported.id,
            items=[Item(**item.model_dump()) for item in exported.items],
            head=exported.head,
            user=exported.user,
            title=exported.title,
            metadata=exported.metadata,
            created_at=exported.created_at,
        )
