"""Sources: the members of files, folders and ZIPs, and those that are skipped and why."""

from __future__ import annotations

import random
import stat
import zipfile
from pathlib import Path

import pytest

from ingest.sources import archives
from ingest.sources.opening import open_source
from memory_service.core.errors import ServiceError, StartupError


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def skipped(path: Path) -> dict[str, str]:
    with open_source(path) as source:
        return dict(source.skipped)


def test_folder_and_zip_have_same_members(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    members = {
        "a/conversations.json": b"[]",
        "__MACOSX/a/._conversations.json": b"\x00",
        "a/.DS_Store": b"\x00",
    }
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for path in (folder, make_zip(tmp_path / "export.zip", members)):
        with open_source(path) as source:
            assert [member.name for member in source.members] == ["a/conversations.json"]
            assert not source.skipped


@pytest.mark.parametrize(
    "name", ["../up.json", "a/../../up.json", "/etc/up.json", "C:/up.json", "..\\up.json"]
)
def test_path_out_of_archive_is_skipped(name: str, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "export.zip", {name: b"[]", "conversations.json": b"[]"})
    assert "leads out of the archive" in "".join(skipped(path).values())


def test_links_are_not_followed(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.json").symlink_to("/etc/passwd")
    for path in (tmp_path / "export.zip", folder):
        assert skipped(path) == {"link.json": "is a link; links are not followed"}


def test_zip_bomb_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 100_000)
    path = make_zip(tmp_path / "bomb.zip", {"conversations.json": b"0" * 1_000_000})
    assert "would unpack to 1,000,000 bytes" in skipped(path)["conversations.json"]


def test_encrypted_member_is_skipped_with_advice(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "export.zip", {"conversations.json": b"[]"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flags of the local header, and of the directory's entry
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "password" in skipped(path)["conversations.json"]


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no archive", None])
def test_unreadable_path_is_startup_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=r"export\.zip"), open_source(path):
        pass


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archive_raises_service_errors_only(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("caf\u00e9.json", b'{"a": 1}\n' * 400)
        archive.writestr("b.json", b"[]")
    whole = path.read_bytes()
    chance = random.Random(1)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(4, len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            with open_source(path) as source:
                for member in source.members:
                    assert isinstance(member.head, str)
                    with member.open() as file:
                        file.read()
        except ServiceError:
            continue


def test_member_without_name_is_skipped(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "export.zip", {"x": b"[]", "conversations.json": b"[]"})
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    # The directory's first entry with a name of no bytes.
    entry = bytearray(content[directory : directory + 46])
    entry[28:30] = b"\x00\x00"
    end = bytearray(content[content.index(b"PK\x05\x06") :])
    size = int.from_bytes(end[12:16], "little") - 1
    end[12:16] = size.to_bytes(4, "little")
    middle = content[directory + 47 : content.index(b"PK\x05\x06")]
    path.write_bytes(content[:directory] + bytes(entry) + middle + bytes(end))
    assert skipped(path) == {"export.zip": "holds a member without a name"}
