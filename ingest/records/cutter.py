"""Cuts a stream of JSON at the brackets that enclose records, without parsing the records.

Memory is bounded by the longest string and the longest record, not by the length of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ingest.records.parsing import BOM, CHUNK_BYTES, MAX_RECORD_BYTES, MAX_STRING_BYTES

OMITTED = "\ufdd0"
"""Begins the mark in place of a string over MAX_STRING_BYTES; no text uses this code point."""

STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'

_SPACE = b" \t\r\n"
_BETWEEN_BRACKETS = rb'(?:[^"\[\]{}]++|' + STRING + rb")*+"
_TO_BRACKET = re.compile(_BETWEEN_BRACKETS + rb"([\[\]{}])", re.DOTALL)
_TO_OPEN_STRING = re.compile(_BETWEEN_BRACKETS, re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_KEY = re.compile(rb'"([^"\\]*)"\s*:\s*$')


class CutProblem(NamedTuple):
    """Why a part of a file is not a record."""

    message: str


_CUT_SHORT = CutProblem("ends in the middle: the file is incomplete")

Cut = Iterator[bytes | CutProblem]


def cut_elements(file: BinaryIO, under: tuple[str, ...]) -> Cut:
    """Yield the bytes of each record of a stream, and the problems between them.

    The records are the elements of the array that fills the file, or of the arrays that an object
    has `under` these keys; of an object with none of the keys, the object itself.
    """
    scanner = _BracketScanner(file)
    match = scanner.next_bracket()
    if match is None or match[1] in b"]}":
        yield CutProblem("is not a JSON array or object")
    elif match[1] == b"[":
        yield from _array_elements(scanner)
    else:
        scanner.start_recording(match.start(1))
        yield from _object_elements(scanner, {key.encode() for key in under})
    if not scanner.is_at_end():
        yield CutProblem("continues after the end of its JSON; the rest is not read")


def _array_elements(scanner: _BracketScanner) -> Cut:
    """Yield the elements of the array whose opening bracket was passed."""
    while (match := scanner.next_bracket()) is not None:
        before = match.string[match.start() : match.start(1)]
        yield from (part.strip(_SPACE) for part in before.split(b",") if part.strip(_SPACE))
        if match[1] in b"]}":
            return
        scanner.start_recording(match.start(1))
        is_whole = scanner.pass_value()
        yield scanner.take_recording()
        if not is_whole:
            break
    scanner.pass_rest()
    yield _CUT_SHORT


def _object_elements(scanner: _BracketScanner, under: set[bytes]) -> Cut:
    """Yield the elements of the arrays under these keys; without any, the object itself."""
    has_arrays = False
    while (match := scanner.next_bracket()) is not None:
        if match[1] in b"]}":
            if not has_arrays:
                yield scanner.take_recording()
            return
        key = _KEY.search(match.string, match.start(), match.start(1))
        if match[1] == b"[" and key is not None and key[1] in under:
            has_arrays = True
            scanner.drop_recording()
            yield from _array_elements(scanner)
        elif not scanner.pass_value():
            break
    scanner.pass_rest()
    yield _CUT_SHORT


class _BracketScanner:
    """Reads a stream from bracket to bracket, and records the bytes of one value meanwhile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(CHUNK_BYTES)
        self._position = len(BOM) if self._data.startswith(BOM) else 0
        # Where in the data the recording continues; None while nothing is recorded.
        self._start: int | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def next_bracket(self) -> re.Match[bytes] | None:
        """Pass the next bracket outside of strings; return None at the end of the file."""
        while True:
            match = _TO_BRACKET.match(self._data, self._position)
            if match is not None:
                self._position = match.end()
                return match
            if not self._read_on():
                return None

    def pass_value(self) -> bool:
        """Pass the value whose opening bracket was passed; return whether it ends."""
        depth = 1
        while depth:
            match = self.next_bracket()
            if match is None:
                return False
            depth += 1 if match[1] in b"[{" else -1
        return True

    def pass_rest(self) -> None:
        """Pass the rest of a file that ends in the middle."""
        self._position = len(self._data)

    def is_at_end(self) -> bool:
        """Return whether only blanks follow; a second export in the file is not blank."""
        while not self._data[self._position :].strip(_SPACE):
            self._position = len(self._data)
            if not self._read_on():
                return True
        return False

    def start_recording(self, start: int) -> None:
        """Keep the bytes from a position of the last match on."""
        self._start = start

    def take_recording(self) -> bytes | CutProblem:
        """Return the bytes recorded, up to the last bracket passed, and stop recording."""
        self._keep(self._data[self._start : self._position])
        kept, size = self._kept, self._kept_bytes
        self.drop_recording()
        if size > MAX_RECORD_BYTES:
            return CutProblem(f"has {size:,} bytes; {MAX_RECORD_BYTES:,} are allowed")
        return b"".join(kept)

    def drop_recording(self) -> None:
        """Stop recording."""
        self._start, self._kept, self._kept_bytes = None, [], 0

    def _read_on(self) -> bool:
        """Read at least as many bytes as are waiting; return whether there were any."""
        if len(self._data) - self._position > MAX_STRING_BYTES:
            return self._omit_string()
        if self._start is not None:
            self._keep(self._data[self._start : self._position])
            self._start = 0
        waiting = self._data[self._position :]
        chunk = self._file.read(max(CHUNK_BYTES, len(waiting)))
        self._data, self._position = waiting + chunk, 0
        return bool(chunk)

    def _omit_string(self) -> bool:
        """Put a mark in place of the string that is not complete yet; return whether it ends."""
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
            chunk = self._file.read(CHUNK_BYTES)
            if not chunk:
                return False
            rest = rest[stop:] + chunk
        mark = f'"{OMITTED}{size}"'.encode()
        self._data = self._data[:begin] + mark + rest[stop + 1 :]
        return True

    def _keep(self, piece: bytes) -> None:
        self._kept_bytes += len(piece)
        if self._kept_bytes > MAX_RECORD_BYTES:
            self._kept = []
        else:
            self._kept.append(piece)
