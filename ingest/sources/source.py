"""A source is what the user gave: a file, a folder or a ZIP, as named members read as streams.

Nothing is unpacked to disk, so a path in an archive cannot lead anywhere. Names use `/`.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from memory_service.core.errors import ServiceError

HEAD_BYTES = 65_536
MAX_SNIFFED = 20

READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""What files and `zipfile` raise for damaged, cut, encrypted and strangely compressed members.

`NotImplementedError` (an unknown compression) is a RuntimeError; a name that is not UTF-8 and a
position before the file's beginning are ValueErrors.
"""


class UnreadableMember(ServiceError):
    """A member that cannot be read, or not to its end; other members are not affected."""


class SkippedMember(NamedTuple):
    """A member that no format sees, and the reason."""

    name: str
    reason: str


class Member(ABC):
    """One file of a source. `name` is its path inside the source; `size` is in bytes."""

    def __init__(self, source: ExportSource, name: str, size: int) -> None:
        self._source = source
        self.name = name
        self.size = size

    @cached_property
    def head(self) -> str:
        """The first 64 KiB as text, without a byte order mark; bytes that are not UTF-8 replaced.

        Empty if the member cannot be read.
        """
        try:
            with self._open() as file:
                return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")
        except READ_ERRORS:
            return ""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it as a stream of bytes, which raises UnreadableMember where it is damaged."""
        try:
            opened = self._open()
        except READ_ERRORS as error:
            raise _unreadable(self.name, error) from error
        with opened, _CountedStream(opened, self.name, self._source) as counted:
            yield io.BufferedReader(counted, HEAD_BYTES)

    @abstractmethod
    def _open(self) -> BinaryIO: ...


class ExportSource:
    """Members by name, and how many of their bytes were read.

    `label` is the name of what the user gave; `skipped` are the members that no format sees.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.members: Sequence[Member] = ()
        self.skipped: list[SkippedMember] = []
        self.bytes_read = 0
        self.bytes_total = 0

    def matching(self, *patterns: str) -> list[Member]:
        """Return the members whose file name matches one of the patterns, such as `*.json`.

        The one member of a source that is a single file always matches: it may have any name.
        """
        if len(self.members) == 1 and self.members[0].name == self.label:
            return list(self.members)
        return [
            member
            for member in self.members
            if any(fnmatchcase(PurePosixPath(member.name).name, pattern) for pattern in patterns)
        ]

    def heads(self, *patterns: str) -> Iterator[str]:
        """Yield the beginnings of the first members that match: for a format's `sniff`."""
        for member in self.matching(*patterns)[:MAX_SNIFFED]:
            yield member.head

    def reading(self, *patterns: str) -> list[Member]:
        """Return the members that match, and count their bytes as those that will be read."""
        members = self.matching(*patterns)
        self.bytes_total = sum(member.size for member in members)
        return members


class _CountedStream(io.RawIOBase):
    """A stream that counts bytes for the progress bar and names its member in errors."""

    def __init__(self, file: BinaryIO, name: str, source: ExportSource) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except READ_ERRORS as error:
            raise _unreadable(self._name, error) from error
        buffer[: len(data)] = data
        self._source.bytes_read += len(data)
        return len(data)


def _unreadable(name: str, error: Exception) -> UnreadableMember:
    return UnreadableMember(f"{name} cannot be read further: {error}")
