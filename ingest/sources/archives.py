"""The members of a ZIP archive that are read, and the reasons for those that are not."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from ingest.sources.source import ExportSource, Member, SkippedMember

MAX_RATIO = 200
"""Text compresses up to about 30 times; 1,032 is the most that deflate can do."""
SMALL_BYTES = 100_000_000
"""A member that unpacks to less than this is read at any ratio."""

_ENCRYPTED = 0x1


def zip_members(source: ExportSource, archive: zipfile.ZipFile) -> Iterator[Member]:
    """Yield the members of an archive by name; those refused are noted in `source.skipped`."""
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        if not info.filename:
            source.skipped.append(SkippedMember(source.label, "holds a member without a name"))
            continue
        if info.is_dir() or is_junk(info.filename):
            continue
        reason = _reason_to_skip(info)
        if reason is None:
            yield _ZipMember(source, archive, info)
        else:
            source.skipped.append(SkippedMember(info.filename, reason))


def is_junk(name: str) -> bool:
    """Return whether a file is one that file managers leave behind."""
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
        for part in _parts(name)
    )


class _ZipMember(Member):
    def __init__(
        self, source: ExportSource, archive: zipfile.ZipFile, info: zipfile.ZipInfo
    ) -> None:
        super().__init__(source, info.filename, info.file_size)
        self._archive = archive
        self._info = info

    def _open(self) -> BinaryIO:
        return self._archive.open(self._info)  # type: ignore[return-value]


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path, also of one that was written on Windows."""
    return PurePosixPath(name.replace("\\", "/")).parts


def _reason_to_skip(info: zipfile.ZipInfo) -> str | None:
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
            f"would unpack to {info.file_size:,} bytes, {ratio:,.0f} times its size; it is not read"
        )
    return None
