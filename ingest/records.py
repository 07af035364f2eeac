"""The records of a member, one at a time and each by itself: lines, JSON lines, a JSON array.

A record that cannot be used is a warning, and the next one is read. Parsers of JSON streams end at
the first byte that is wrong; so an array is cut into its elements here, and each is parsed alone.
Memory is bounded: by the longest string and the longest record, whatever the length of the file.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ingest.sources import Member, Unreadable
from ingest.transcripts import BadRecord, Place, Warn

MAX_RECORD_BYTES = 64 * 1024 * 1024
MAX_STRING_BYTES = 16 * 1024 * 1024
"""A million characters, the most that an item holds by default, are at most 12 bytes each."""
MAX_NESTING = 64
LEFT_OUT = "\ufdd0"
"""Begins what stands for a string of more than MAX_STRING_BYTES: a code point that no text uses."""

_CHUNK_BYTES = 262_144
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BETWEEN_BRACKETS = rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+"
_TO_BRACKET = re.compile(_BETWEEN_BRACKETS + rb"([\[\]{}])", re.DOTALL)
_TO_OPEN_STRING = re.compile(_BETWEEN_BRACKETS, re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_KEY = re.compile(rb'"([^"\\]*)"\s*:\s*$')
_PLAIN_VALUE = rb"\s*:\s*(?:" + _STRING + rb'|[^,\[\]{}"]*)'
_TWO_KEYS = re.compile(
    rb"\{\s*(" + _STRING + rb")" + _PLAIN_VALUE + rb"\s*,\s*(" + _STRING + rb")\s*:", re.DOTALL
)


class Record(NamedTuple):
    """A JSON value with its place, and its text as it stands in the file."""

    place: Place
    value: Any
    text: str


def text_lines(member: Member, warn: Warn) -> Iterator[tuple[Place, str]]:
    """Yield every line without its end; one that is too long or not UTF-8 is a warning."""
    for place, line in _raw_lines(member, warn, MAX_STRING_BYTES):
        try:
            yield place, line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            warn(place, _not_utf8(error))


def json_lines(
    member: Member, warn: Warn, *, max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[Record]:
    """Yield the value of every line that is not blank."""
    for place, line in _raw_lines(member, warn, max_bytes):
        if line.strip():
            record = _record(place, line.strip(), warn)
            if record is not None:
                yield record


def json_records(member: Member, warn: Warn, *, under: tuple[str, ...] = ()) -> Iterator[Record]:
    """Yield the elements of a JSON array, or of the arrays that an object has `under` these keys.

    An object that has none of the keys is one record itself. A record without its closing bracket
    swallows those that follow; they are found again by how records of this file begin.
    """
    number = 0
    opening: re.Pattern[bytes] | None = None
    try:
        with member.open() as file:
            for found in _Elements(file, under):
                number += 1
                place = Place(member.name, number)
                if isinstance(found, str):
                    warn(place, found)
                    continue
                record = _record(place, found, warn)
                if record is not None:
                    opening = opening or _opening(found)
                    yield record
                    continue
                for piece in () if opening is None else _pieces(found, opening):
                    number += 1
                    record = _record(Place(member.name, number), piece, warn, whole=False)
                    if record is not None:
                        yield record
    except Unreadable as error:
        warn(Place(member.name, number + 1), error.message)


def _raw_lines(member: Member, warn: Warn, max_bytes: int) -> Iterator[tuple[Place, bytes]]:
    number = 0
    try:
        with member.open() as file:
            while line := file.readline(max_bytes + 1):
                number += 1
                place = Place(member.name, number)
                if len(line) > max_bytes:
                    _skip_line(file)
                    warn(place, f"is longer than {max_bytes:,} bytes")
                else:
                    yield place, line.removeprefix(_BOM) if number == 1 else line
    except Unreadable as error:
        warn(Place(member.name, number + 1), error.message)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_CHUNK_BYTES)) and not rest.endswith(b"\n"):
        pass


def _record(place: Place, raw: bytes, warn: Warn, *, whole: bool = True) -> Record | None:
    """Return the record, or warn: never both, except for a key that is there twice.

    Without `whole`, text may follow the value.
    """
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
        _check_nesting(value)
    except UnicodeDecodeError as error:
        warn(place, _not_utf8(error))
    except json.JSONDecodeError as error:
        warn(place, f"is not valid JSON: {error.msg} at character {error.pos:,}")
    except RecursionError:
        warn(place, f"nests deeper than {MAX_NESTING} levels")
    except BadRecord as error:
        warn(place, error.message)
    else:
        if repeated:
            warn(place, f"has the key {repeated[0][:80]!r} twice; the last one counts")
        return Record(place, value, text)
    return None


def _opening(record: bytes) -> re.Pattern[bytes] | None:
    """Return what finds objects in an array that begin with the same two keys as this one."""
    keys = _TWO_KEYS.match(record)
    if keys is None:
        return None
    first, second = map(re.escape, keys.groups())
    return re.compile(
        rb",\s*(\{\s*" + first + _PLAIN_VALUE + rb"\s*,\s*" + second + rb"\s*:)", re.DOTALL
    )


def _pieces(raw: bytes, opening: re.Pattern[bytes]) -> list[bytes]:
    starts = [match.start(1) for match in opening.finditer(raw)]
    return [raw[a:b] for a, b in itertools.pairwise([*starts, len(raw)])]


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start:,}"


def _refuse_constant(name: str) -> Any:
    raise BadRecord(f"is not valid JSON: {name} is no number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise BadRecord(f"holds a number that is out of range: {number[:40]}")
    return value


def _integer(number: str) -> int:
    if len(number) > 308:
        raise BadRecord(f"holds a number of {len(number):,} digits")
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
        raise BadRecord(f"nests deeper than {MAX_NESTING} levels")


class _Elements:
    """Cuts a stream at the brackets that hold records; what is in a record is not looked at.

    Iterating yields the bytes of each record, or a string that says what is wrong.
    """

    def __init__(self, file: BinaryIO, under: tuple[str, ...]) -> None:
        self._file = file
        self._under = {key.encode() for key in under}
        self._data = b""
        self._position = 0
        self._start: int | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def __iter__(self) -> Iterator[bytes | str]:
        self._read_on()
        self._position = len(_BOM) if self._data.startswith(_BOM) else 0
        match = self._next_bracket()
        if match is None or match[1] in b"]}":
            yield "is not a JSON array or object"
        elif match[1] == b"[":
            yield from self._of_array()
        else:
            yield from self._of_object(match.start(1))
        yield from self._beyond()

    def _of_array(self) -> Iterator[bytes | str]:
        """Yield the elements of the array whose opening bracket was passed."""
        while (match := self._next_bracket()) is not None:
            before = match.string[match.start() : match.start(1)]
            yield from (one.strip(_SPACE) for one in before.split(b",") if one.strip(_SPACE))
            if match[1] in b"]}":
                return
            self._start = match.start(1)
            whole = self._pass_value()
            yield from self._recorded()
            if not whole:
                break
        self._position = len(self._data)
        yield "ends in the middle: the file is not whole"

    def _of_object(self, start: int) -> Iterator[bytes | str]:
        """Yield the elements of its arrays under the keys asked for, else the object itself."""
        found = False
        self._start = start
        while (match := self._next_bracket()) is not None:
            if match[1] in b"]}":
                if not found:
                    yield from self._recorded()
                return
            key = _KEY.search(match.string, match.start(), match.start(1))
            if match[1] == b"[" and key is not None and key[1] in self._under:
                found = True
                self._forget()
                yield from self._of_array()
            elif not self._pass_value():
                break
        self._position = len(self._data)
        yield "ends in the middle: the file is not whole"

    def _beyond(self) -> Iterator[str]:
        """Say so if the file goes on after its value, as two exports in one file do."""
        while not self._data[self._position :].strip(_SPACE):
            self._position = len(self._data)
            if not self._read_on():
                return
        yield "goes on after the end of its JSON; that is not read"

    def _pass_value(self) -> bool:
        """Go past the value whose opening bracket was passed; return whether it ends."""
        depth = 1
        while depth:
            match = self._next_bracket()
            if match is None:
                return False
            depth += 1 if match[1] in b"[{" else -1
        return True

    def _next_bracket(self) -> re.Match[bytes] | None:
        """Go past the next bracket that is in no string; None at the end of the file."""
        while True:
            match = _TO_BRACKET.match(self._data, self._position)
            if match is not None:
                self._position = match.end()
                return match
            if not self._read_on():
                return None

    def _read_on(self) -> bool:
        """Read more, as much again as is waiting; return whether there is something new."""
        if len(self._data) - self._position > MAX_STRING_BYTES:
            return self._leave_out_string()
        if self._start is not None:
            self._keep(self._data[self._start : self._position])
            self._start = 0
        waiting = self._data[self._position :]
        more = self._file.read(max(_CHUNK_BYTES, len(waiting)))
        self._data, self._position = waiting + more, 0
        return bool(more)

    def _leave_out_string(self) -> bool:
        """Put a mark in the place of the string that is waited for; return whether it ends."""
        match = _TO_OPEN_STRING.match(self._data, self._position)
        begin = match.end() if match else self._position
        rest = self._data[begin + 1 :]
        size = 0
        while True:
            inside = _REST_OF_STRING.match(rest)
            stop = inside.end() if inside else 0
            size += stop
            if rest[stop : stop + 1] == b'"':
                break
            more = self._file.read(_CHUNK_BYTES)
            if not more:
                return False
            rest = rest[stop:] + more
        mark = f'"{LEFT_OUT}{size}"'.encode()
        self._data = self._data[:begin] + mark + rest[stop + 1 :]
        return True

    def _keep(self, piece: bytes) -> None:
        self._kept_bytes += len(piece)
        if self._kept_bytes > MAX_RECORD_BYTES:
            self._kept = []
        else:
            self._kept.append(piece)

    def _recorded(self) -> Iterator[bytes | str]:
        self._keep(self._data[self._start : self._position])
        kept, size = self._kept, self._kept_bytes
        self._forget()
        if size > MAX_RECORD_BYTES:
            yield f"has {size:,} bytes; {MAX_RECORD_BYTES:,} are allowed"
        else:
            yield b"".join(kept)

    def _forget(self) -> None:
        self._start, self._kept, self._kept_bytes = None, [], 0
