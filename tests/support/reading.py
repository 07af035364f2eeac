"""Reads files with a format, and renders the conversations as text for golden files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ingest.formats import FORMATS
from ingest.sources.opening import open_source
from ingest.transcripts import FormatOptions, Location, Transcript, TranscriptItem
from tests.support.environment import ROOT

EXPORTS = ROOT / "tests" / "ingest" / "exports"
"""Small files in every format, written for these tests; those in `none` are of no format."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The conversations of a source, and the warnings about it."""

    transcripts: list[Transcript]
    warnings: list[tuple[Location, str]]

    @property
    def items(self) -> list[TranscriptItem]:
        """The items of all conversations."""
        return [item for transcript in self.transcripts for item in transcript.items]


def read(path: Path, format_name: str, options: FormatOptions | None = None) -> Reading:
    """Read a file, folder or ZIP as a format."""
    warnings: list[tuple[Location, str]] = []

    def warn(location: Location, message: str) -> None:
        warnings.append((location, message))

    with open_source(path) as source:
        chosen = FORMATS[format_name]
        return Reading(list(chosen.parse(source, options or FormatOptions(), warn)), warnings)


def formats_of(path: Path) -> list[str]:
    """Return the names of the formats that recognise a source."""
    with open_source(path) as source:
        return [name for name, file_format in FORMATS.items() if file_format.sniff(source)]


def text_of(item: TranscriptItem) -> str:
    """Return the text of a message."""
    content = json.loads(item.raw)["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def rendered(reading: Reading) -> str:
    """Return a reading as text: a paragraph for each conversation, a line for each item."""
    paragraphs = [_lines(transcript) for transcript in reading.transcripts]
    warnings = [
        f"! {location.file}:{location.record} {message}" for location, message in reading.warnings
    ]
    return "\n\n".join(["\n".join(lines) for lines in (*paragraphs, warnings) if lines]) + "\n"


def _lines(transcript: Transcript) -> list[str]:
    numbers = {item.id: number for number, item in enumerate(transcript.items)}
    metadata = json.dumps(transcript.metadata, ensure_ascii=False)
    skipped = json.dumps(dict(transcript.skipped), sort_keys=True)
    title = transcript.title or "(no title)"
    lines = [f"# {title} [{transcript.created_at}] {metadata} skipped {skipped}"]
    for number, item in enumerate(transcript.items):
        parent = None if item.parent is None else numbers[item.parent]
        below = "" if parent == number - 1 or (parent, number) == (None, 0) else f" below {parent}"
        extra = "" if item.metadata is None else f" {json.dumps(item.metadata)}"
        name = "" if item.name is None else f" {item.name}"
        raw = " ".join(item.raw.split("\n"))
        lines.append(f"{number}{below} [{item.created_at}]{name}{extra} {raw}")
    if transcript.items and transcript.head != transcript.items[-1].id:
        lines.append(f"head {numbers[transcript.head or '']}")
    return lines
