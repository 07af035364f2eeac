"""Opens what is at a path as a source: a file, a folder, or a ZIP archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ingest.sources.archives import is_junk, zip_members
from ingest.sources.source import READ_ERRORS, ExportSource, Member, SkippedMember
from memory_service.core.errors import StartupError

MAX_MEMBERS = 200_000

_ZIP_MAGIC = b"PK\x03\x04"


@contextmanager
def open_source(path: Path) -> Iterator[ExportSource]:
    """Open what is at a path; raises StartupError if it does not exist or cannot be read."""
    source = ExportSource(path.name or str(path))
    with ExitStack() as stack:
        try:
            if path.is_dir():
                source.members = list(_folder_members(source, path))
            elif _is_zip(path):
                archive = stack.enter_context(_open_archive(path))
                source.members = list(zip_members(source, archive))
            else:
                source.members = [_FileMember(source, source.label, path)]
        except OSError as error:
            raise StartupError(f"{path} cannot be read: {error.strerror or error}.") from error
        if len(source.members) > MAX_MEMBERS:
            raise _too_many(path)
        yield source


class _FileMember(Member):
    def __init__(self, source: ExportSource, name: str, path: Path) -> None:
        super().__init__(source, name, path.stat().st_size)
        self._path = path

    def _open(self) -> BinaryIO:
        return self._path.open("rb")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError:
        raise
    except READ_ERRORS as error:
        raise StartupError(
            f"{path} begins like a ZIP archive but is damaged or incomplete ({error}). "
            "Download it again."
        ) from error


def _folder_members(source: ExportSource, folder: Path) -> Iterator[Member]:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number > MAX_MEMBERS:
            raise _too_many(folder)
        name = path.relative_to(folder).as_posix()
        if is_junk(name):
            continue
        if path.is_symlink():
            source.skipped.append(SkippedMember(name, "is a link; links are not followed"))
        elif path.is_file():
            yield _FileMember(source, name, path)


def _too_many(path: Path) -> StartupError:
    return StartupError(f"{path} holds more than {MAX_MEMBERS:,} files. Give fewer at a time.")
