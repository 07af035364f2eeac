"""One record of a file, parsed by itself and checked: its JSON value, its text and its location."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from ingest.transcripts import Location, Warn
from memory_service.core.errors import ServiceError

MAX_RECORD_BYTES = 64 * 1024 * 1024
MAX_STRING_BYTES = 16 * 1024 * 1024
"""A million characters, the most that an item holds by default, are at most 12 bytes each."""
MAX_NESTING = 64
MAX_DIGITS = 308

CHUNK_BYTES = 262_144
BOM = b"\xef\xbb\xbf"


class InvalidRecord(ServiceError):
    """A record of a file that cannot be used; other records are not affected."""


class JsonRecord(NamedTuple):
    """A JSON value with its location, and its unchanged text from the file."""

    location: Location
    value: Any
    text: str


class _Decoded(NamedTuple):
    value: Any
    text: str
    repeated_key: str | None


def parse_record(
    location: Location, raw: bytes, warn: Warn, *, whole: bool = True
) -> JsonRecord | None:
    """Return a record; None after a warning if it is invalid.

    A key that occurs twice is a warning too; its last value is used. Without `whole`, other text
    may follow the value.
    """
    try:
        decoded = _decode(raw, whole=whole)
    except InvalidRecord as error:
        warn(location, error.message)
        return None
    if decoded.repeated_key is not None:
        warn(location, f"has the key {decoded.repeated_key[:80]!r} twice; the last one counts")
    return JsonRecord(location, decoded.value, decoded.text)


def not_utf8(error: UnicodeDecodeError) -> str:
    """Return the warning about bytes that are not UTF-8."""
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start:,}"


def _decode(raw: bytes, *, whole: bool) -> _Decoded:
    repeated: list[str] = []

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            keys = [key for key, _ in pairs]
            repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return value

    decoder = json.JSONDecoder(
        object_pairs_hook=as_object,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_integer,
    )
    try:
        text = raw.decode()
        value = decoder.decode(text) if whole else decoder.raw_decode(text)[0]
    except UnicodeDecodeError as error:
        raise InvalidRecord(not_utf8(error)) from error
    except json.JSONDecodeError as error:
        raise InvalidRecord(f"is not valid JSON: {error.msg} at character {error.pos:,}") from error
    except RecursionError as error:
        raise InvalidRecord(f"nests deeper than {MAX_NESTING} levels") from error
    _check_nesting(value)
    return _Decoded(value, text, repeated[0] if repeated else None)


def _refuse_constant(name: str) -> Any:
    raise InvalidRecord(f"is not valid JSON: {name} is not a number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise InvalidRecord(f"holds a number that is out of range: {number[:40]}")
    return value


def _integer(number: str) -> int:
    if len(number) > MAX_DIGITS:
        raise InvalidRecord(f"holds a number of {len(number):,} digits")
    return int(number)


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
        if not below:
            return
        level = below
    if any(isinstance(node, (dict, list)) for node in level):
        raise InvalidRecord(f"nests deeper than {MAX_NESTING} levels")
