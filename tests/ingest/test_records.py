"""Records of lines and JSON arrays, and the warnings about invalid ones."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import cutter
from ingest.records.arrays import json_records
from ingest.records.cutter import OMITTED
from ingest.records.lines import json_lines, text_lines
from ingest.sources.opening import open_source
from ingest.transcripts import Location

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Warnings(list[tuple[Location, str]]):
    """Collects warnings."""

    def __call__(self, location: Location, message: str) -> None:
        """Add a warning."""
        self.append((location, message))

    @property
    def text(self) -> str:
        """All messages."""
        return "\n".join(message for _, message in self)


def values(path: Path, content: bytes, warn: Warnings, under: tuple[str, ...] = ()) -> list[object]:
    path.write_bytes(content)
    with open_source(path) as source:
        return [record.value for record in json_records(source.members[0], warn, under=under)]


@given(elements=st.lists(JSON_VALUES, max_size=8), indent=st.sampled_from([None, 1]))
def test_array_elements_equal_parsed_array(elements: list[object], indent: int | None) -> None:
    warn = Warnings()
    content = json.dumps(elements, indent=indent, ensure_ascii=False).encode()
    with TemporaryDirectory() as folder:
        assert values(Path(folder) / "a.json", content, warn) == json.loads(content)
    assert not warn


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_array_elements_do_not_depend_on_chunks(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter, "CHUNK_BYTES", chunk)
    elements = [{"a": '\\"]}{[', "b": [[], {}, "\u00e9\\"]}, None, 3, "x,y", {"c": "]" * 99}]
    elements.remove("x,y")
    content = b"\xef\xbb\xbf" + json.dumps(elements, ensure_ascii=False).encode()
    assert values(tmp_path / "a.json", content, Warnings()) == elements


def test_records_under_keys_of_wrapper(tmp_path: Path) -> None:
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
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5,000 digits"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "deeper than 64"),
        (b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", "deeper than 64"),
        (b'{"a" 1}', "not valid JSON"),
    ],
)
def test_invalid_record_is_warning_and_next_is_read(
    bad: bytes, message: str, tmp_path: Path
) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"x": 1},' + bad + b',{"y": 2}]', warn) == [
        {"x": 1},
        {"y": 2},
    ]
    assert message in warn.text
    assert [location for location, _ in warn] == [Location("a.json", 2)]


def test_last_value_of_repeated_key_counts(tmp_path: Path) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"a": 1, "a": 2}]', warn) == [{"a": 2}]
    assert "'a' twice" in warn.text


def test_incomplete_file_gives_complete_records(tmp_path: Path) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", b'[{"x": 1}, {"y": [1, 2', warn) == [{"x": 1}]
    assert "the file is incomplete" in warn.text


@pytest.mark.parametrize("suffix", [b' [{"x": 2}]', b"\n" * 300_000 + b"}", b"x"])
@pytest.mark.parametrize("text", [b'[{"x": 1}]', b'{"in": [{"x": 1}]}'])
def test_content_after_end_is_warning(tmp_path: Path, text: bytes, suffix: bytes) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", text + suffix, warn, under=("in",)) == [{"x": 1}]
    assert "continues after the end" in warn.text


@pytest.mark.parametrize("text", [b'[{"x": 1}]\n' + b" " * 300_000, b'[{"x": 1}, "'])
def test_no_warning_about_blanks_after_end(tmp_path: Path, text: bytes) -> None:
    warn = Warnings()
    assert values(tmp_path / "a.json", text, warn) == [{"x": 1}]
    assert "goes on" not in warn.text


@pytest.mark.parametrize(
    "bad", [b'{"id": 2, "title": "b", "x": {', b'{"id": 2, "title": "b", "x": [}']
)
def test_records_after_unclosed_record_are_read(bad: bytes, tmp_path: Path) -> None:
    good: list[object] = [{"id": n, "title": "a [", "x": [{"id": n, "y": {}}]} for n in (1, 3, 4)]
    first, *later = [json.dumps(record).encode() for record in good]
    warn = Warnings()
    content = b"[" + b", ".join([first, bad, *later]) + b"]"
    assert values(tmp_path / "a.json", content, warn) == good
    assert "not valid JSON" in warn.text


def test_string_of_50_megabytes_is_omitted(tmp_path: Path) -> None:
    elements = values(
        tmp_path / "a.json",
        b'[{"x": "' + b"ab\\n" * 12_500_000 + b'", "y": [1]}, {"z": 2}]',
        Warnings(),
    )
    assert elements == [{"x": f"{OMITTED}50000000", "y": [1]}, {"z": 2}]


def test_too_long_record_is_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter, "MAX_RECORD_BYTES", 1_000_000)
    warn = Warnings()
    long = json.dumps({"x": ["abc"] * 300_000}).encode()
    assert values(tmp_path / "a.json", b"[" + long + b', {"z": 2}]', warn) == [{"z": 2}]
    assert "1,000,000 are allowed" in warn.text


def test_too_long_and_non_utf8_lines_are_warnings(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n"' + b"x" * 3000 + b'"\n"\xff"\n{"b": 2}')
    warn = Warnings()
    with open_source(path) as source:
        elements = [record.value for record in json_lines(source.members[0], warn, max_bytes=1000)]
        texts = [line for _, line in text_lines(source.members[0], warn)]
    assert elements == [{"a": 1}, {"b": 2}]
    assert [location.record for location, _ in warn] == [3, 4, 4]
    assert texts[0] == '{"a": 1}'


def test_damaged_member_is_warning_after_its_last_record(tmp_path: Path) -> None:
    lines = b"".join(b'{"number": %d}\n' % number for number in range(20_000))
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", lines)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    warn = Warnings()
    with open_source(path) as source:
        read = list(json_lines(source.members[0], warn))
    assert 0 < len(read) < 20_000
    assert "a.jsonl cannot be read further" in warn.text
