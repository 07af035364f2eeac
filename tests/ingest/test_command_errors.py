"""Errors of the command: one message and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ingest.cli import main
from memory_service.turn_log.log import FILE_NAME


class CommandResult(NamedTuple):
    """What a run of the command printed, and its exit code."""

    code: int
    out: str
    err: str


class Command:
    """Runs the command in this process; any other exception than SystemExit fails the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> CommandResult:
        """Run the command and return its result."""
        self._monkeypatch.setattr(sys, "argv", ["memory-ingest", *map(str, arguments)])
        with pytest.raises(SystemExit) as result:
            main()
        captured = self._capsys.readouterr()
        return CommandResult(int(result.value.code or 0), captured.out, captured.err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["stored", "dry run"])
@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300])
def test_impossible_data_folder(
    name: str, options: tuple[str, ...], history: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = command(history, "--data-dir", tmp_path / name, *options)
    assert result.code == 2 if not options else result.code in (0, 2)
    assert result.err.count("memory-ingest:") == (result.code == 2)


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["stored", "dry run"])
def test_data_folder_with_damaged_log(
    options: tuple[str, ...], history: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1_000)
    result = command(history, "--data-dir", tmp_path, *options)
    assert result.code == 2
    assert "memory-ingest:" in result.err


def test_missing_file(tmp_path: Path, command: Command) -> None:
    result = command(tmp_path / "missing.zip", "--data-dir", tmp_path / "data", "--json")
    assert result.code == 2
    assert "missing.zip cannot be read" in result.err
    assert json.loads(result.out)["conversations"]["read"] == 0


def test_file_that_cannot_be_opened(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "loop.json"
    path.symlink_to(path)
    result = command(path, "--data-dir", tmp_path / "data")
    assert result.code == 2
    assert "loop.json cannot be read" in result.err


@pytest.mark.parametrize("files", [(), ("photo.jpg", "notes.txt")])
def test_folder_without_transcripts(
    files: tuple[str, ...], tmp_path: Path, command: Command
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).write_bytes(b"\xff\xd8")
    result = command(folder, "--data-dir", tmp_path / "data")
    assert result.code == 2
    assert "folder is none of the known formats" in result.err


def test_forced_format_on_folder_without_transcripts(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x.json").write_text("[]")
    for name in ("chatgpt", "slack", "whatsapp", "export"):
        result = command(folder, "--format", name, "--data-dir", tmp_path / "data")
        assert result.code == (0 if name == "slack" else 2)


def test_unknown_project_in_dry_run(history: Path, tmp_path: Path, command: Command) -> None:
    assert command(history, "--data-dir", tmp_path / "data", "--quiet").code == 0
    arguments = (history, "--data-dir", tmp_path / "data", "--project", "missing", "--dry-run")
    result = command(*arguments, "--json", "--quiet")
    assert result.code == 0
    assert json.loads(result.out)["turns"]["stored"] == 5


@pytest.mark.parametrize(
    "options",
    [
        ("--project", "\udcff"),
        ("--user", "\udcff"),
        ("--zone", "Mars/Olympus"),
        ("--zone", ""),
        ("--zone", "../etc/passwd"),
        ("--since", "yesterday"),
        ("--title-matches", "("),
        ("--format", "word"),
        ("--api-key", "k"),
        ("--url", "http://127.0.0.1:9", "--dry-run"),
    ],
    ids=" ".join,
)
def test_invalid_options(
    options: tuple[str, ...], history: Path, tmp_path: Path, command: Command
) -> None:
    data_dir = () if "--url" in options else ("--data-dir", tmp_path / "data")
    result = command(history, *data_dir, *options)
    assert result.code == 2
    assert "memory-ingest:" in result.err


PROBLEMS: list[tuple[dict[str, object], str]] = [
    ({"raw": "{broken"}, "The item is not valid JSON: Expecting property name"),
    ({"raw": '{"role": "user", "content": 1e999}'}, "The item is not valid JSON"),
    ({"raw": "[" * 70 + "]" * 70}, "The item nests deeper than"),
    ({"raw": '{"role": "wizard", "content": "x"}'}, "'item.role' must be one of"),
    ({"raw": '{"role": "user", "content": "\\ud800"}'}, "lone surrogates"),
    ({"name": "\ud800"}, "lone surrogates"),
    ({"title": "\ud800"}, "lone surrogates"),
    ({"id": "\ud800"}, "'id' must be"),
    ({"user": "\ud800"}, "'user' must be"),
    ({"metadata": {"\ud800": "x"}}, "lone surrogates"),
    ({"created_at": "yesterday"}, "created_at"),
    ({"head": "missing"}, "missing"),
    ({"extra": 1}, "extra: Extra inputs"),
]


def exported(number: int, changes: dict[str, object]) -> str:
    """Return a line of the service's export with one item."""
    item: dict[str, object] = {
        "id": f"item-{number}",
        "parent": None,
        "created_at": "2024-05-01T08:00:00Z",
        "name": None,
        "metadata": None,
        "gap_before": False,
        "raw": '{"role": "user", "content": "Hi"}',
    }
    line: dict[str, object] = {
        "format": "memory_service.conversation/1",
        "id": f"talk-{number}",
        "user": None,
        "title": None,
        "metadata": {},
        "created_at": "2024-05-01T08:00:00Z",
        "head": f"item-{number}",
    }
    of_item = {key: value for key, value in changes.items() if key in ("raw", "name")}
    of_line = {key: value for key, value in changes.items() if key not in of_item}
    return json.dumps({**line, **of_line, "items": [item | of_item]})


def test_problems_of_exported_lines_name_file_and_line(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "export.jsonl"
    lines = [exported(number, changes) for number, (changes, _) in enumerate(PROBLEMS)]
    path.write_text("\n".join(lines))
    result = command(path, "--data-dir", tmp_path / "data", "--json", "--quiet")
    assert result.code == 1
    warnings = json.loads(result.out.splitlines()[-1])["warnings"]
    by_line = {warning["record"]: warning["message"] for warning in warnings}
    assert {warning["file"] for warning in warnings} == {"export.jsonl"}
    for number, (_, message) in enumerate(PROBLEMS, start=1):
        assert message in by_line[number]
        assert "body" not in by_line[number]


def test_warning_names_line_of_item(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "messages.jsonl"
    lines = [{"role": "user", "content": "Hi"}, {"role": "wizard", "content": "Abracadabra"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = command(path, "--data-dir", tmp_path / "data", "--dry-run", "--json", "--quiet")
    (warning,) = json.loads(result.out)["warnings"]
    assert (warning["file"], warning["record"]) == ("messages.jsonl", 2)


def test_file_name_that_cannot_be_printed(history: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "odd\udcff.jsonl").write_text(history.read_text() + "{broken\n")
    result = run(folder, "--data-dir", tmp_path / "data", "--dry-run")
    assert result.code == 1
    assert "odd" in result.out
    assert "Traceback" not in result.err


@pytest.mark.parametrize("options", [("--json",), ("--json", "--quiet"), ()], ids=" ".join)
def test_reader_that_has_gone(options: tuple[str, ...], history: Path, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = run(history, "--data-dir", tmp_path / "data", "--dry-run", *options, out=write_end)
    finally:
        os.close(write_end)
    assert result.code == 1
    assert result.err == ""


def run(*arguments: object, out: int = subprocess.PIPE) -> CommandResult:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "ingest", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": ""}
    process = subprocess.run(
        command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False
    )
    return CommandResult(
        process.returncode, (process.stdout or b"").decode(), process.stderr.decode("utf-8")
    )
