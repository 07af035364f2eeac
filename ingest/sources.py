"""What the user gave: a file, a folder or a ZIP, as named members that are read as streams.

Nothing is ever unpacked to disk, so no path in an archive can lead anywhere. Names use `/`.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from memory_service.core.errors import ServiceError, StartupError

HEAD_BYTES = 65_536
MAX_SNIFFED = 20
MAX_MEMBERS = 200_000
MAX_RATIO = 200
"""Text compresses up to about 30 times; 1,032 is the most that deflate can do."""
SMALL_BYTES = 100_000_000
"""What unpacks to less than this is harmless, whatever its ratio."""

_ZIP_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1


class Unreadable(ServiceError):
    """A member that cannot be read, or not to its end; the others can."""


class Problem(NamedTuple):
    """A member that is left out, and why."""

    name: str
    message: str


class Member(ABC):
    """One file of a source. `name` is its path below what the user gave; `size` is in bytes."""

    def __init__(self, source: Source, name: str, size: int) -> None:
        self._source = source
        self.name = name
        self.size = size

    @cached_property
    def head(self) -> str:
        """The first 64 KiB as text, without a byte order mark; what is not UTF-8 is replaced."""
        try:
            with self._open() as file:
                return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")
        except (OSError, *_BROKEN):
            return ""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it as a stream of bytes, which raises Unreadable where it is damaged."""
        try:
            opened = self._open()
        except (OSError, *_BROKEN) as error:
            raise _unreadable(self.name, error) from error
        with opened, _Counted(opened, self.name, self._source) as counted:
            yield io.BufferedReader(counted, HEAD_BYTES)

    @abstractmethod
    def _open(self) -> BinaryIO: ...


class Source:
    """Members by name, and how far they are read.

    `label` is what the user gave; `problems` are members that no format sees, and why.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.members: Sequence[Member] = ()
        self.problems: list[Problem] = []
        self.bytes_read = 0
        self.bytes_total = 0

    def matching(self, *patterns: str) -> list[Member]:
        """Return the members whose last name fits one of the patterns, such as `*.json`.

        The one member of a source that is a single file fits always: it may have any name.
        """
        if len(self.members) == 1 and self.members[0].name == self.label:
            return list(self.members)
        return [
            member
            for member in self.members
            if any(fnmatchcase(PurePosixPath(member.name).name, one) for one in patterns)
        ]

    def heads(self, *patterns: str) -> Iterator[str]:
        """Yield the beginnings of the first members that fit, as `matching` does: for `sniff`."""
        for member in self.matching(*patterns)[:MAX_SNIFFED]:
            yield member.head

    def reading(self, *patterns: str) -> list[Member]:
        """Return the members that fit, as `matching` does, and expect that all of them are read."""
        found = self.matching(*patterns)
        self.bytes_total = sum(member.size for member in found)
        return found


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open what is at a path; raises StartupError if it is not there or cannot be read."""
    source = Source(path.name or str(path))
    with ExitStack() as stack:
        try:
            if path.is_dir():
                source.members = list(_folder_members(source, path))
            else:
                with path.open("rb") as file:
                    is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
                if is_zip:
                    archive = stack.enter_context(zipfile.ZipFile(path))
                    source.members = list(_zip_members(source, archive))
                else:
                    source.members = [_File(source, source.label, path)]
        except OSError as error:
            raise StartupError(f"{path} cannot be read: {error.strerror}.") from error
        except zipfile.BadZipFile as error:
            raise StartupError(
                f"{path} begins like a ZIP, but is damaged or not whole ({error}). "
                "Download it again."
            ) from error
        if len(source.members) > MAX_MEMBERS:
            raise StartupError(f"{path} holds more than {MAX_MEMBERS:,} files: name fewer.")
        yield source


class _File(Member):
    def __init__(self, source: Source, name: str, path: Path) -> None:
        super().__init__(source, name, path.stat().st_size)
        self._path = path

    def _open(self) -> BinaryIO:
        return self._path.open("rb")


class _Zipped(Member):
    def __init__(self, source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        super().__init__(source, info.filename, info.file_size)
        self._archive = archive
        self._info = info

    def _open(self) -> BinaryIO:
        return self._archive.open(self._info)  # type: ignore[return-value]


_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What `zipfile` raises for damaged, cut and strangely compressed members."""


def _folder_members(source: Source, folder: Path) -> Iterator[Member]:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number > MAX_MEMBERS:
            raise StartupError(f"{folder} holds more than {MAX_MEMBERS:,} files: name fewer.")
        name = path.relative_to(folder).as_posix()
        if _is_junk(name):
            continue
        if path.is_symlink():
            source.problems.append(Problem(name, "is a link; links are not followed"))
        elif path.is_file():
            yield _File(source, name, path)


def _zip_members(source: Source, archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in sorted(archive.infolist(), key=lambda one: one.filename):
        if info.is_dir() or _is_junk(info.filename):
            continue
        problem = _problem(info)
        if problem is None:
            yield _Zipped(source, archive, info)
        else:
            source.problems.append(Problem(info.filename, problem))


def _is_junk(name: str) -> bool:
    """Return whether this is what file managers leave behind."""
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
        for part in _parts(name)
    )


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path, also of one that was written on Windows."""
    return PurePosixPath(name.replace("\\", "/")).parts


def _problem(info: zipfile.ZipInfo) -> str | None:
    parts = _parts(info.filename)
    if parts[0] == "/" or ".." in parts or ":" in parts[0]:
        return "has a path that leads out of the archive; it is not read"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link; links are not followed"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive with its password and give the folder"
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > SMALL_BYTES and ratio > MAX_RATIO:
        return (
            f"would unpack to {info.file_size:,} bytes, {ratio:,.0f} times its size: that is no "
            "transcript"
        )
    return None


class _Counted(io.RawIOBase):
    """A stream that counts for the progress bar, and names the member that cannot be read on."""

    def __init__(self, file: BinaryIO, name: str, source: Source) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except (OSError, *_BROKEN) as error:
            raise _unreadable(self._name, error) from error
        buffer[: len(data)] = data
        self._source.bytes_read += len(data)
        return len(data)


def _unreadable(name: str, error: Exception) -> Unreadable:
    return Unreadable(f"{name} cannot be read on: {error}")
