"""Every format on small files with all its features, on public samples, and on broken files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest

from ingest.formats import FORMATS
from ingest.formats.whatsapp import marks
from ingest.formats.whatsapp.marks import Phrases
from ingest.transcripts import FormatOptions, Location
from tests.support.environment import BENCHMARK_DATA
from tests.support.reading import EXPORTS, formats_of, read, rendered, text_of

EVERYTHING = FormatOptions(branches="all", reasoning=True, sidechains=True)
SMALL_FORMATS = ("claude_code", "codex", "messages", "sharegpt", "slack", "whatsapp", "dialogue")
SOURCES = [
    path
    for folder in (*SMALL_FORMATS, "chatgpt", "claude_ai", "none")
    for path in sorted((EXPORTS / folder).iterdir())
    if path.suffix != ".golden"
]
LINES = [path for path in SOURCES if path.suffix == ".jsonl" and path.parent.name != "none"]


def case_id(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("golden", sorted(EXPORTS.glob("*/*.golden")), ids=case_id)
def test_reading_matches_golden_file(golden: Path) -> None:
    source = golden.with_suffix("")
    options = FormatOptions()
    if source.suffix == ".everything":
        source, options = source.with_suffix(""), EVERYTHING
    assert rendered(read(source, golden.parent.name, options)) == golden.read_text("utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=case_id)
def test_file_is_recognised_by_own_format_only(path: Path) -> None:
    own = path.parent.name
    assert formats_of(path) == ([] if own == "none" else [own])


@pytest.mark.parametrize("path", SOURCES, ids=case_id)
def test_forced_format_on_foreign_file_warns(path: Path) -> None:
    for name in SMALL_FORMATS:
        if name != path.parent.name:
            reading = read(path, name)
            assert reading.warnings or not reading.items or name == "dialogue"


@pytest.mark.parametrize("path", LINES, ids=case_id)
def test_blank_lines_and_crlf_are_ignored(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert [item.id for item in read(copy, path.parent.name).items] == [
        item.id for item in read(path, path.parent.name).items
    ]


@pytest.mark.parametrize(
    ("name", "file", "line"),
    [
        (
            "claude_code",
            "long.jsonl",
            '{"parentUuid":null,"sessionId":"s","type":"user","message":{"content":"LONG"}}',
        ),
        (
            "codex",
            "long.jsonl",
            '{"type": "session_meta", "payload": {"id": "s", "instructions": "LONG"}}',
        ),
        ("messages", "long.jsonl", '{"messages": [{"role": "user", "content": "LONG"}]}'),
        ("messages", "long.json", '[{"messages": [{"role": "user", "content": "LONG"}]}]'),
        ("sharegpt", "long.jsonl", '{"conversations": [{"from": "human", "value": "LONG"}]}'),
        ("sharegpt", "long.json", '[{"conversations": [{"from": "human", "value": "LONG"}]}]'),
    ],
)
def test_long_first_record_is_recognised(name: str, file: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text(line.replace("LONG", "long " * 40_000) + "\n")
    assert formats_of(path) == [name]
    assert read(path, name).warnings == []


BROKEN = {
    "bad UTF-8": b'{"type": "user", "uuid": "\xff"}',
    "no object": b"[[]]",
    "a wrong type": b'{"type": ["user"], "messages": 3, "conversations": {}, "payload": []}',
    "a huge number": b'{"type": 1e999}',
    "too many digits": b'{"type": ' + b"9" * 5000 + b"}",
    "deep nesting": b'{"type": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "no JSON": b'{"type": "user"',
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("path", LINES, ids=case_id)
def test_broken_line_is_warning_or_counted(path: Path, broken: str, tmp_path: Path) -> None:
    whole = read(path, path.parent.name)
    damaged = tmp_path / path.name
    damaged.write_bytes(path.read_bytes() + BROKEN[broken] + b"\n")
    reading = read(damaged, path.parent.name)
    assert [item.raw for item in reading.items] == [item.raw for item in whole.items]
    skipped = [
        sum(sum(transcript.skipped.values()) for transcript in one_reading.transcripts)
        for one_reading in (reading, whole)
    ]
    assert len(reading.warnings) > len(whole.warnings) or skipped[0] > skipped[1]


def test_results_follow_interleaved_tool_calls() -> None:
    reading = read(EXPORTS / "claude_code/session.jsonl", "claude_code", EVERYTHING)
    items = reading.transcripts[0].items
    assert [item.parent for item in items[3:5]] == [items[2].id, items[3].id]


def test_folder_of_sessions_with_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "garden"
    folder.mkdir(parents=True)
    text = (EXPORTS / "claude_code/session.jsonl").read_text("utf-8")
    (folder / "session.jsonl").write_text(text, "utf-8")
    (folder / "history.jsonl").write_text('{"display": "/help", "project": "x"}\n')
    assert formats_of(tmp_path) == ["claude_code"]
    reading = read(tmp_path, "claude_code")
    assert len(reading.items) == 10
    assert Location("projects/garden/history.jsonl", 0) in [
        location for location, _ in reading.warnings
    ]


def test_resumed_session_is_same_conversation(tmp_path: Path) -> None:
    whole = (EXPORTS / "claude_code/session.jsonl").read_text("utf-8")
    copied = tmp_path / "resumed.jsonl"
    copied.write_text(whole.replace("5b0f6a52", "99999999"), "utf-8")
    first, second = (
        read(path, "claude_code").transcripts[0]
        for path in (EXPORTS / "claude_code/session.jsonl", copied)
    )
    assert second.id == first.id
    assert [item.id for item in second.items] == [item.id for item in first.items]


def test_agent_session_is_skipped_by_default(tmp_path: Path) -> None:
    text = (EXPORTS / "codex/rollout.jsonl").read_text("utf-8")
    path = tmp_path / "agent.jsonl"
    path.write_text(text.replace('"source": "cli"', '"source": {"subagent": "review"}'), "utf-8")
    skipped = read(path, "codex").transcripts[0]
    assert (len(skipped.items), skipped.skipped) == (0, {"sidechain": 22})
    assert len(read(path, "codex", EVERYTHING).items) == 13


DATES = [
    ("[31/01/2024, 21:41:05] Ann: x", "2024-01-31T21:41:05+01:00"),
    ("[31.01.24 21:41] Ann: x", "2024-01-31T21:41:00+01:00"),
    ("31.01.24, 21:41 - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("31/1/2024, 9:41 pm - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("31/1/24 9:41 p. m. - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("1/31/24, 9:41\u202fPM - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("[1/31/24, 12:01:00\u202fAM] Ann: x", "2024-01-31T00:01:00+01:00"),
    ("[1/31/24, 12:01:00 PM] Ann: x", "2024-01-31T12:01:00+01:00"),
    ("2024-01-31 21:41 - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("2024/01/31, 21:41 - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("2024. 1. 31. 오후 9:41 - Ann: x", "2024-01-31T21:41:00+01:00"),
    ("[31.1.2024 klo 21.41.05] Ann: x", "2024-01-31T21:41:05+01:00"),
    ("\u200e[31-01-2024 21:41:05] \u202aAnn\u202c: x", "2024-01-31T21:41:05+01:00"),
    ("31/07/24, 21:41 \u2013 Ann: x", "2024-07-31T21:41:00+02:00"),
]


@pytest.mark.parametrize(("line", "time"), DATES)
def test_whatsapp_date_spellings(line: str, time: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text(f"{line}\n", "utf-8")
    assert formats_of(path) == ["whatsapp"]
    reading = read(path, "whatsapp", FormatOptions(zone=ZoneInfo("Europe/Oslo")))
    assert [(item.name, item.created_at) for item in reading.items] == [("Ann", time)]
    assert reading.warnings == []


@pytest.mark.parametrize(
    ("dates", "expected", "warnings"),
    [
        (["03/04/24", "25/04/24"], "2024-04-03", 0),
        (["03/04/24", "04/25/24"], "2024-03-04", 0),
        (["03/04/24", "01/05/24", "02/06/24"], "2024-04-03", 0),
        (["03/04/24", "04/01/24", "05/02/24"], "2024-03-04", 0),
        (["03/04/24", "03/04/24"], "2024-04-03", 1),
    ],
    ids=["25th is a day", "25th is no month", "ascending by day", "ascending by month", "unclear"],
)
def test_whatsapp_date_order_detection(
    dates: Sequence[str], expected: str, warnings: int, tmp_path: Path
) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("".join(f"{date}, 10:00 - Ann: x\n" for date in dates))
    reading = read(path, "whatsapp")
    assert str(reading.items[0].created_at).startswith(expected)
    assert len(reading.warnings) == warnings
    forced = replace(FormatOptions(), date_order="ymd")
    assert str(read(path, "whatsapp", forced).items[0].created_at).startswith("2003-04-24")


def test_whatsapp_repeated_hour(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    hours = ("02:50", "02:10", "03:00")
    path.write_text("".join(f"27/10/24, {hour} - Ann: x\n" for hour in hours))
    times = [
        item.created_at
        for item in read(path, "whatsapp", FormatOptions(zone=ZoneInfo("Europe/Oslo"))).items
    ]
    assert times == [
        "2024-10-27T02:50:00+02:00",
        "2024-10-27T02:10:00+01:00",
        "2024-10-27T03:00:00+01:00",
    ]


def test_whatsapp_zip_with_other_text_files(
    tmp_path: Path,
) -> None:
    path = tmp_path / "WhatsApp Chat - Choir.zip"
    with ZipFile(path, "w") as archive:
        archive.write(EXPORTS / "whatsapp/iphone.txt", "_chat.txt")
        archive.writestr("00000013-lyrics.txt", "La la la\n")
        archive.writestr("00000014-photo.jpg", b"\xff\xd8")
    assert formats_of(path) == ["whatsapp"]
    reading = read(path, "whatsapp")
    assert [transcript.title for transcript in reading.transcripts] == ["WhatsApp Chat - Choir"]
    assert reading.warnings == []


def test_slack_folder_and_zip(tmp_path: Path) -> None:
    folder = EXPORTS / "slack/workspace"
    path = tmp_path / "export.zip"
    with ZipFile(path, "w") as archive:
        for file in folder.rglob("*.json"):
            archive.write(file, f"workspace export/{file.relative_to(folder)}")
    assert formats_of(path) == ["slack"]
    assert [item.id for item in read(path, "slack").items] == [
        item.id for item in read(folder, "slack").items
    ]


def test_slack_single_day() -> None:
    day = EXPORTS / "slack/workspace/D7/2024-03-01.json"
    assert formats_of(day) == ["slack"]
    assert [(item.name, text_of(item)) for item in read(day, "slack").items] == [
        ("U2", "Just between us")
    ]


SAMPLES = {
    # file: conversations, items, skipped by reason, warnings
    "claude_code/claude-code-log_edge_cases.jsonl": (1, 12, {"invalid": 2}, 6),
    "claude_code/claude-code-log_representative_messages.jsonl": (1, 11, {}, 0),
    "sharegpt/fastchat_dummy_conversation_head.json": (2, 6, {}, 0),
    "slack/zep_fixture": (3, 7, {"system": 1, "duplicate": 1, "empty": 1}, 0),
    "whatsapp/chatminer_test_ddmmyy_24hrs_plain.txt": (1, 7, {"system": 2}, 0),
    "whatsapp/chatminer_test_mmddyy_24hrs_bracket.txt": (1, 7, {"system": 2}, 0),
}


@pytest.fixture(scope="module")
def samples() -> Path:
    folder = BENCHMARK_DATA / "exports"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: see BENCHMARK_DATA")
    return folder


@pytest.mark.parametrize("sample", SAMPLES)
def test_public_sample_counts(sample: str, samples: Path) -> None:
    conversations, items, skipped, warnings = SAMPLES[sample]
    reading = read(samples / sample, sample.partition("/")[0])
    assert len(reading.transcripts) == conversations
    assert len(reading.items) == items
    total: dict[str, int] = {}
    for transcript in reading.transcripts:
        for reason, count in transcript.skipped.items():
            total[reason] = total.get(reason, 0) + count
    assert (total, len(reading.warnings)) == (skipped, warnings)


def test_public_samples_are_recognised_by_own_format_only(samples: Path) -> None:
    folders = [samples / name for name in FORMATS if (samples / name).is_dir()]
    paths = [path for folder in folders for path in folder.iterdir()]
    assert {path.name: formats_of(path) for path in paths} == {
        path.name: [path.parent.name] for path in paths
    }


def test_public_whatsapp_samples_are_equal(
    samples: Path,
) -> None:
    plain, bracketed = (
        [(item.created_at, item.name, text_of(item)) for item in read(path, "whatsapp").items]
        for path in sorted((samples / "whatsapp").iterdir())
    )
    assert plain == bracketed


@pytest.mark.parametrize("parent", [{}, [], 7, None], ids=str)
def test_claude_ai_parent_that_is_not_an_id(tmp_path: Path, parent: object) -> None:
    messages = [
        {"uuid": "one", "sender": "human", "text": "Which boat?"},
        {"uuid": "two", "sender": "assistant", "text": "Osprey.", "parent_message_uuid": "one"},
        {"uuid": "three", "sender": "human", "text": "Whose?", "parent_message_uuid": parent},
    ]
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{"uuid": "talk", "chat_messages": messages}]))
    items = read(path, "claude_ai").items
    assert [item.parent for item in items] == [None, items[0].id, items[1].id]


def test_whatsapp_phrases_are_lower_case_and_unique() -> None:
    lists = tomllib.loads(Path(marks.__file__).with_name("phrases.toml").read_text("utf-8"))
    assert set(lists) == set(Phrases._fields)
    for phrases in lists.values():
        assert phrases
        assert len(set(phrases)) == len(phrases)
        assert all(phrase == phrase.casefold().strip() for phrase in phrases)


def test_items_have_locations_of_their_lines() -> None:
    for name, file in (("claude_code", "session.jsonl"), ("whatsapp", "iphone.txt")):
        lines = (EXPORTS / name / file).read_text("utf-8").splitlines()
        for item in read(EXPORTS / name / file, name).items:
            assert item.location is not None
            assert item.location.file == file
            first_words = text_of(item).split("\n")[0].strip("[]")[:10]
            assert name == "claude_code" or first_words in lines[item.location.record - 1]
