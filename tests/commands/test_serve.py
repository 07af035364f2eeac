"""Errors at the start of the server: one message, and exit code 2."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memory_service.core.settings import Settings


def serve(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memory_service", "serve", "--data-dir", str(folder)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=60
    )


def test_folder_of_another_server_is_refused_with_its_address(
    address: str, settings: Settings
) -> None:
    assert address
    process = serve(settings.data_dir, "--port", "0")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    assert "--url" in process.stderr


def test_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = serve(tmp_path / "data", "--port", str(listener.getsockname()[1]))
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    assert "--port" in process.stderr


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_data_folder_that_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("I am no folder")
    process = serve(tmp_path / name, "--port", "0")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr
    assert "--data-dir" in process.stderr
