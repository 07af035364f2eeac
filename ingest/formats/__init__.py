"""One file a format: a name, what it expects, `sniff` and `parse`."""

from __future__ import annotations

from ingest.formats import messages, service_export
from ingest.transcripts import Format

FORMATS: dict[str, Format] = {module.NAME: module for module in (service_export, messages)}
"""By the name that --format takes; recognised in this order."""


def recognise(head: str) -> Format | None:
    """Return the format of a file by how it begins."""
    return next((one for one in FORMATS.values() if one.sniff(head)), None)
