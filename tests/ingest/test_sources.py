"""Files, folders and ZIPs as streams of records: what is read, and what is refused and why."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import records, sources
from ingest.records import LEFT_OUT, json_lines, json_records, text_lines
from ingest.sources import open_source
from ingest.transcripts import Place
from memory_service.core.errors import StartupError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Warnings(list[tuple[Place, str]]):
    """Collects what is warned about."""

    def __call__(self, place: Place, message: str) -> None:
        """Note a warning."""
        self.append((place, message))

    @property
    def text(self) -> str:
        """All messages."""
        return "\n".join(message for _, message in self)


def values(path: Path, content: bytes, warn: Warnings, under: tuple[str, ...] = ()) -> list[object]:
    path.write_bytes(content)
    with open_source(path) as source:
        return [one.value for one in json_records(source.members[0], warn, under=under)]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def problems(path: Path) -> dict[str, str]:
    with open_source(path) as source:
        return dict(source.problems)


@given(found=st.lists(JSON_VALUES, max_size=8), indent=st.sampled_from([None, 1]))
def test_an_array_is_cut_into_what_a_parser_finds_in_it(
    found: list[object], indent: int | None
) -> None:
    warn = Warnings()
    content = json.dumps(found, indent=indent, ensure_ascii=False).encode()
    with TemporaryDirectory() as folder:
        assert values(Path(folder) / "a.json", content, warn) == json.loads(content)
    assert not warn


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_an_array_is_cut_the_same_wherever_reading_stops(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_CHUNK_BYTES", chunk)
    found = [{"a": '\\"]}{[', "b": [[], {}, "\u00e9\\"]}, None, 3, "x,y", {"c": "]" * 99}]
    found.remove("x,y")
    content = b"\xef\xbb\xbf" + json.dumps(found, ensure_ascii=False).encode()
    assert values(tmp_path / "a.json", content, Warnings()) == found


def test_records_are_found_under_the_keys_of_a_wrapper(tmp_path: Path) -> None:
    wrapped = {"account": {"ids": [1]}, "conversations": [{"a": 1}, {"b": 2}], "more": [3]}
    content = json.dumps(wrapped).encode()
    warn = Warnings()
    assert values(tmp_path / "a.json", content, warn, ("conversations",)) == [{"a": 1}, {"b": 2}]
    assert values(tmp_path / "a.json", content, warn, ("chats",)) == [wrapped]
    assert not warn


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"a": 1e999}', "out of range: 1e999"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5,000 digits"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "deeper than 64"),
        (b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", "deeper than 64"),
        (b'{"a" 1}', "not valid JSON"),
    ],
)
def test_a_bad_record_is_a_warning_and_the_next_is_read(
    bad: bytes, message: str, tmp_path: Path
) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"x": 1},' + bad + b',{"y": 2}]', warn) == [
        {"x": 1},
        {"y": 2},
    ]
    assert message in warn.text
    assert [place for place, _ in warn] == [Place("a.json", 2)]


def test_of_a_key_that_is_there_twice_the_last_counts_and_it_is_said(tmp_path: Path) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"a": 1, "a": 2}]', warn) == [{"a": 2}]
    assert "'a' twice" in warn.text


def test_a_file_that_ends_too_soon_gives_what_is_whole(tmp_path: Path) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"x": 1}, {"y": [1, 2', warn) == [{"x": 1}]
    assert "the file is not whole" in warn.text


@pytest.mark.parametrize("more", [b' [{"x": 2}]', b"\n" * 300_000 + b"}", b"x"])
@pytest.mark.parametrize("text", [b'[{"x": 1}]', b'{"in": [{"x": 1}]}'])
def test_a_file_that_goes_on_after_its_end_is_a_warning(
    tmp_path: Path, text: bytes, more: bytes
) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", text + more, warn, under=("in",)) == [{"x": 1}]
    assert "goes on after the end" in warn.text


@pytest.mark.parametrize("text", [b'[{"x": 1}]\n' + b" " * 300_000, b'[{"x": 1}, "'])
def test_blanks_after_the_end_are_none_and_a_file_that_is_cut_does_not_go_on(
    tmp_path: Path, text: bytes
) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", text, warn) == [{"x": 1}]
    assert "goes on" not in warn.text


@pytest.mark.parametrize(
    "bad", [b'{"id": 2, "title": "b", "x": {', b'{"id": 2, "title": "b", "x": [}']
)
def test_a_record_without_its_closing_bracket_does_not_swallow_the_next(
    bad: bytes, tmp_path: Path
) -> None:
    good: list[object] = [{"id": n, "title": "a [", "x": [{"id": n, "y": {}}]} for n in (1, 3, 4)]
    first, *others = [json.dumps(one).encode() for one in good]
    warn = Warnings()
    content = b"[" + b", ".join([first, bad, *others]) + b"]"
    assert values(tmp_path / "a.json", content, warn) == good
    assert "not valid JSON" in warn.text


def test_a_string_of_50_megabytes_is_left_out_of_its_record(tmp_path: Path) -> None:
    found = values(
        tmp_path / "a.json",
        b'[{"x": "' + b"ab\\n" * 12_500_000 + b'", "y": [1]}, {"z": 2}]',
        Warnings(),
    )
    assert found == [{"x": f"{LEFT_OUT}50000000", "y": [1]}, {"z": 2}]


def test_a_record_that_is_too_long_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1_000_000)
    warn = Warnings()
    long = json.dumps({"x": ["abc"] * 300_000}).encode()
    assert values(tmp_path / "a.json", b"[" + long + b', {"z": 2}]', warn) == [{"z": 2}]
    assert "1,000,000 are allowed" in warn.text


def test_lines_that_are_too_long_or_not_utf8_are_warnings(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n"' + b"x" * 3000 + b'"\n"\xff"\n{"b": 2}')
    warn = Warnings()
    with open_source(path) as source:
        found = [one.value for one in json_lines(source.members[0], warn, max_bytes=1000)]
        texts = [line for _, line in text_lines(source.members[0], warn)]
    assert found == [{"a": 1}, {"b": 2}]
    assert [place.record for place, _ in warn] == [3, 4, 4]
    assert texts[0] == '{"a": 1}'


def test_a_folder_and_its_zip_have_the_same_members_without_junk(tmp_path: Path) -> None:
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
            assert not source.problems


@pytest.mark.parametrize(
    "name", ["../up.json", "a/../../up.json", "/etc/up.json", "C:/up.json", "..\\up.json"]
)
def test_a_path_that_leads_out_of_the_archive_is_not_read(name: str, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "export.zip", {name: b"[]", "conversations.json": b"[]"})
    assert "leads out of the archive" in "".join(problems(path).values())


def test_links_are_not_followed(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.json").symlink_to("/etc/passwd")
    for path in (tmp_path / "export.zip", folder):
        assert problems(path) == {"link.json": "is a link; links are not followed"}


def test_a_member_that_unpacks_to_much_more_than_it_is_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SMALL_BYTES", 100_000)
    path = make_zip(tmp_path / "bomb.zip", {"conversations.json": b"0" * 1_000_000})
    assert "would unpack to 1,000,000 bytes" in problems(path)["conversations.json"]


def test_an_encrypted_member_says_what_to_do(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "export.zip", {"conversations.json": b"[]"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flags of the local header, and of the directory's entry
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "password" in problems(path)["conversations.json"]


def test_a_damaged_member_is_a_warning_at_the_record_where_it_breaks(tmp_path: Path) -> None:
    lines = b"".join(b'{"number": %d}\n' % number for number in range(20_000))
    path = make_zip(tmp_path / "export.zip", {"a.jsonl": lines})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    warn = Warnings()
    with open_source(path) as source:
        read = list(json_lines(source.members[0], warn))
    assert 0 < len(read) < 20_000
    assert "a.jsonl cannot be read on" in warn.text


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no archive", None])
def test_what_cannot_be_opened_is_one_message(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=r"export\.zip"), open_source(path):
        pass
