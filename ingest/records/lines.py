"""The lines of a member, one at a time, as texts or as JSON values.

A line that cannot be used is a warning, and the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ingest.records.parsing import (
    BOM,
    CHUNK_BYTES,
    MAX_RECORD_BYTES,
    MAX_STRING_BYTES,
    JsonRecord,
    not_utf8,
    parse_record,
)
from ingest.sources.source import Member, UnreadableMember
from ingest.transcripts import Location, Warn


def text_lines(member: Member, warn: Warn) -> Iterator[tuple[Location, str]]:
    """Yield every line without its end; one that is too long or not UTF-8 is a warning."""
    for location, line in _raw_lines(member, warn, MAX_STRING_BYTES):
        try:
            yield location, line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            warn(location, not_utf8(error))


def json_lines(
    member: Member, warn: Warn, *, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[JsonRecord]:
    """Yield the value of every line that is not blank."""
    for location, line in _raw_lines(member, warn, max_bytes):
        if line.strip():
            record = parse_record(location, line.strip(), warn)
            if record is not None:
                yield record


def _raw_lines(member: Member, warn: Warn, max_bytes: int) -> Iterator[tuple[Location, bytes]]:
    number = 0
    try:
        with member.open() as file:
            while line := file.readline(max_bytes + 1):
                number += 1
                location = Location(member.name, number)
                if len(line) > max_bytes:
                    _skip_line(file)
                    warn(location, f"is longer than {max_bytes:,} bytes")
                else:
                    yield location, line.removeprefix(BOM) if number == 1 else line
    except UnreadableMember as error:
        warn(Location(member.name, number + 1), error.message)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(CHUNK_BYTES)) and not rest.endswith(b"\n"):
        pass
