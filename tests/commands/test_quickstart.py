"""The README's first command, as a new user runs it."""

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
    return shown_by("quickstart", "--data-dir", str(tmp_path / "data"))


def shown_by(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    # A panel wraps lines and draws a border around them.
    return " ".join(result.output.replace("│", " ").split())


def test_ask_shows_the_same_of_ones_own_data(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        for number, text in enumerate(("My locker at the gym is 8314.", *SMALL_TALK)):
            memory.add("chat", "user", text, user="mara" if number == 0 else None)
    shown = shown_by("ask", "Which locker is mine?", "--user", "mara", "--data-dir", str(tmp_path))
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
def test_ask_says_what_it_cannot_find(tmp_path: Path, arguments: list[str], message: str) -> None:
    with open_memory(tmp_path) as memory:
        memory.add("chat", "user", "hello", user="mara")
    result = CliRunner().invoke(app, ["ask", "Where?", "--data-dir", str(tmp_path), *arguments])
    assert isinstance(result.exception, ServiceError)
    assert result.exception.message == message


def test_what_a_turn_says_cannot_style_the_terminal(tmp_path: Path) -> None:
    with open_memory(tmp_path) as memory:
        memory.add("chat", "user", "my key is [bold red]8314[/] \x1b[2J here", user="mara")
    shown = shown_by("ask", "Which key is mine?", "--user", "mara", "--data-dir", str(tmp_path))
    assert "[bold red]8314[/]" in shown
    assert "\x1b" not in shown


def test_quickstart_says_what_was_left_out_and_why(output: str) -> None:
    assert "Turns left out, best first" in output
    assert "below top k" in output or "budget" in output


def test_quickstart_recalls_what_was_said_in_the_first_sitting(output: str) -> None:
    assert "Elfriede and Jupp" in output
    assert "qs-007" in output
