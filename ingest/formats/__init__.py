"""One file a format: a name, what it expects, `sniff` and `parse`."""

from __future__ import annotations

from ingest.formats import (
    chatgpt,
    claude_ai,
    claude_code,
    codex,
    dialogue,
    messages,
    service_export,
    sharegpt,
    slack,
    whatsapp,
)
from ingest.sources import Source
from ingest.transcripts import Format

FORMATS: dict[str, Format] = {
    module.NAME: module
    for module in (
        *(service_export, chatgpt, claude_ai, claude_code, codex),
        *(slack, sharegpt, messages, whatsapp, dialogue),
    )
}
"""By the name that --format takes; recognised in this order."""


def recognise(source: Source) -> Format | None:
    """Return the format of a source by how its members begin."""
    return next((one for one in FORMATS.values() if one.sniff(source)), None)
