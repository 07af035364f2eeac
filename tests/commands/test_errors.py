"""Every command ends with a one-line error where the data folder is empty, wrong or damaged."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from memory_service.commands import main
from memory_service.turn_log.log import FILE_NAME

READING = (
    "verify",
    "export",
    "rebuild-index",
    "keys list",
    "keys revoke 3",
    "ask hello --user ana",
    "ask hello --conversation c",
)
ALL = (*READING, "keys create --project acme", "serve --port 0", "quickstart")


def run(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command as a shell would and return its exit code; any other exception propagates."""
    argv = ["memory-service", *shlex.split(line), "--data-dir", str(folder)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("line", READING)
def test_command_on_empty_folder(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(line, tmp_path / "data", monkeypatch)
    assert code == (0 if line in {"verify", "rebuild-index", "keys list"} else 2)
    assert (code == 0) == ("memory-service: " not in capsys.readouterr().err)


@pytest.mark.parametrize("line", ALL)
def test_command_on_folder_that_is_a_file(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.touch()
    assert run(line, path, monkeypatch) == 2
    assert "cannot be used: File exists" in capsys.readouterr().err


@pytest.mark.parametrize("line", ALL)
def test_command_on_damaged_turn_log(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).write_text("This is not a database, but a page of text.\n" * 100)
    assert run(line, tmp_path, monkeypatch) == 2
    assert "cannot be opened: file is not a database" in capsys.readouterr().err
