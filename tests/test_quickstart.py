"""The README's first command, as a new user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_service.cli import app


@pytest.fixture
def output(tmp_path: Path) -> str:
    result = CliRunner().invoke(app, ["quickstart", "--data-dir", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    # A panel wraps lines and draws a border around them.
    return " ".join(result.output.replace("│", " ").split())


def test_quickstart_recalls_what_was_said_in_the_first_sitting(output: str) -> None:
    assert "Elfriede and Jupp" in output
    assert "qs-007" in output
