"""The commands `quickstart` and `ask`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_service import open_memory
from memory_service.commands.main import app
from memory_service.core.errors import ServiceError

SMALL_TALK = [f"The soup was good on day {day}." for day in range(30)]


@pytest.fixture
def output(tmp_path: Path) -> str:
    return output_of("quickstart", "--data-dir", str(tmp_path / "data"))


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    # A panel wraps lines and draws a border around them.
    return " ".join(result.output.replace("│", " ").split())


def test_ask_shows_recalled_and_left_out_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_RECENT_TURNS", "4")
    with open_memory(tmp_path) as memory:
        for number, text in enumerate(("My locker at the gym is 8314.", *SMALL_TALK)):
            memory.add("chat", "user", text, user="mara" if number == 0 else None)
    shown = output_of("ask", "Which locker is mine?", "--user", "mara", "--data-dir", str(tmp_path))
    assert "recalled turns" in shown
    assert "8314" in shown
    assert "Turns left out, best first" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give exactly one of --conversation and --user."),
        (["--user", "nobody"], "No user 'nobody'."),
        (["--conversation", "none"], "No conversation 'none'."),
        (["--user", "nobody", "--project", "p"], "There is no project 'p' in this folder."),
    ],
)
def test_ask_names_unknown_user_conversation_or_project(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    with open_memory(tmp_path) as memory:
        memory.add("chat", "user", "hello", user="mara")
    result = CliRunner().invoke(app, ["ask", "Where?", "--data-dir", str(tmp_path), *arguments])
    assert isinstance(result.exception, ServiceError)
    assert result.exception.message == message


def test_turn_text_cannot_style_terminal(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        memory.add("chat", "user", "my key is [bold red]8314[/] \x1b[2J here", user="mara")
    shown = output_of("ask", "Which key is mine?", "--user", "mara", "--data-dir", str(tmp_path))
    assert "[bold red]8314[/]" in shown
    assert "\x1b" not in shown


def test_quickstart_shows_left_out_turns_with_reason(output: str) -> None:
    assert "Turns left out, best first" in output
    assert "below top k" in output or "budget" in output


def test_quickstart_recalls_turn_of_first_session(output: str) -> None:
    assert "Elfriede and Jupp" in output
    assert "qs-007" in output
