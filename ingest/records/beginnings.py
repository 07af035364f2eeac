"""The beginning of a JSON file: it shows the format, and whether to read an array or lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ingest.records.arrays import json_records
from ingest.records.lines import json_lines
from ingest.records.parsing import JsonRecord
from ingest.sources.source import Member
from ingest.transcripts import Warn

_MAX_LINES = 100
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


def first_objects(head: str) -> Iterator[dict[str, Any]]:
    """Yield the objects on the first lines of a head; cut or invalid lines are skipped."""
    for line in islice(head.split("\n"), _MAX_LINES):
        value = _value(line, 0)
        if isinstance(value, dict):
            yield value


def cut_line(head: str) -> str:
    """Return the first line if it is longer than the head, so that it is cut; else ''."""
    return "" if "\n" in head else head


def first_value(head: str) -> Any:
    """Return the first element of an array, or the first value that is no array; None if cut."""
    start = len(head) - len(head.lstrip(_SPACE))
    if head[start : start + 1] == "[":
        inner = head[start + 1 :].lstrip(_SPACE)
        return _value(inner, 0)
    return _value(head, start)


def array_or_lines(member: Member, warn: Warn) -> Iterator[JsonRecord]:
    """Yield the elements of a JSON array, the object that fills a file, or the value of each line.

    An array on a single line is the value of that line.
    """
    first = member.head.lstrip(_SPACE).partition("\n")[0].rstrip(_SPACE)
    fills_file = first == "{" or (first.startswith("[") and _value(first, 0) is None)
    return json_records(member, warn) if fills_file else json_lines(member, warn)


def _value(text: str, start: int) -> Any:
    try:
        return _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None
