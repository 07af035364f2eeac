"""The contract of a format: a module (or any object) with a name, `sniff` and `parse`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ingest.sources.source import ExportSource
from ingest.transcripts import FormatOptions, Transcript, Warn


class Format(Protocol):
    """Reads the exports of one product.

    `NAME` is its `--format` name; `EXPECTS` describes the files in one line.
    """

    NAME: str
    EXPECTS: str

    def sniff(self, source: ExportSource) -> bool:
        """Return whether a source is of this format, by the beginnings of its members."""

    def parse(
        self, source: ExportSource, options: FormatOptions, warn: Warn
    ) -> Iterator[Transcript]:
        """Yield the conversations of a source, one at a time."""
