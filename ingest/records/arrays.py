"""The elements of a JSON array in a member, one at a time and each parsed by itself.

Parsers of JSON streams stop at the first wrong byte. Here the array is cut into its elements first
(`ingest.records.cutter`), so an element that cannot be used is a warning, and the next one is read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from ingest.records.cutter import STRING, CutProblem, cut_elements
from ingest.records.parsing import JsonRecord, parse_record
from ingest.sources.source import Member, UnreadableMember
from ingest.transcripts import Location, Warn

_PLAIN_VALUE = rb"\s*:\s*(?:" + STRING + rb'|[^,\[\]{}"]*)'
_TWO_KEYS = re.compile(
    rb"\{\s*(" + STRING + rb")" + _PLAIN_VALUE + rb"\s*,\s*(" + STRING + rb")\s*:", re.DOTALL
)


def json_records(
    member: Member, warn: Warn, *, under: tuple[str, ...] = ()
) -> Iterator[JsonRecord]:
    """Yield the elements of a JSON array, or of the arrays that an object has `under` these keys.

    An object that has none of the keys is one record itself. A record without its closing bracket
    includes those that follow; they are found by the way in which the file's first record begins.
    """
    numbers = itertools.count(1)
    beginning: re.Pattern[bytes] | None = None
    try:
        with member.open() as file:
            for element in cut_elements(file, under):
                location = Location(member.name, next(numbers))
                if isinstance(element, CutProblem):
                    warn(location, element.message)
                    continue
                record = parse_record(location, element, warn)
                if record is not None:
                    beginning = beginning or _beginning_of(element)
                    yield record
                    continue
                for piece in () if beginning is None else _pieces(element, beginning):
                    location = Location(member.name, next(numbers))
                    record = parse_record(location, piece, warn, whole=False)
                    if record is not None:
                        yield record
    except UnreadableMember as error:
        warn(Location(member.name, next(numbers)), error.message)


def _beginning_of(element: bytes) -> re.Pattern[bytes] | None:
    """Return a pattern for objects of an array that begin with the same two keys as this one."""
    keys = _TWO_KEYS.match(element)
    if keys is None:
        return None
    first, second = map(re.escape, keys.groups())
    return re.compile(
        rb",\s*(\{\s*" + first + _PLAIN_VALUE + rb"\s*,\s*" + second + rb"\s*:)", re.DOTALL
    )


def _pieces(element: bytes, beginning: re.Pattern[bytes]) -> list[bytes]:
    starts = [match.start(1) for match in beginning.finditer(element)]
    return [element[start:end] for start, end in itertools.pairwise([*starts, len(element)])]
