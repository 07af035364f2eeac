"""Ingesting a large ChatGPT export: bounded memory, and resuming after a kill."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.benchmarks.resources import memory_of
from memory_service.commands.main import app as service_app
from memory_service.turn_log.log import FILE_NAME
from tests.support.chatgpt_export import write_export
from tests.support.environment import LONG

MEGABYTES = 200 if LONG else 20
MAX_RSS_MB = 300
"""Of each process: the writer, its child that prepares batches, and Chroma's."""
DEADLINE_SECONDS = 2_400.0 if LONG else 280.0


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ingest", *map(str, arguments), "--json", "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> dict[str, dict[str, int]]:
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0
    report: dict[str, dict[str, int]] = json.loads(out.splitlines()[-1])
    return report


def stored_turns(folder: Path) -> int:
    """Return how many turns are stored, while another process stores more."""
    try:
        log = sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True)
        with closing(log):
            return int(log.execute("SELECT count(*) FROM turns").fetchone()[0])
    except sqlite3.OperationalError:  # The file or the table does not exist yet.
        return 0


def content_hash(folder: Path) -> str:
    result = CliRunner().invoke(service_app, ["export", "--data-dir", str(folder)])
    assert result.exit_code == 0
    return hashlib.sha256(result.stdout.encode()).hexdigest()


def kill_when(process: subprocess.Popen[str], folder: Path, turns: int) -> None:
    """Kill a process as soon as more than `turns` turns are stored."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = signal.sigtimedwait
    while stored_turns(folder) <= turns and process.poll() is None:
        assert time.monotonic() < deadline
        pause([], 0.01)
    process.kill()
    process.communicate()


@pytest.mark.timeout(7200)
def test_killed_and_resumed_ingestion_stores_the_same(tmp_path: Path) -> None:
    export = tmp_path / "conversations.json"
    turns = write_export(export, MEGABYTES, seed=1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert finish(start(export, "--user", "me", "--data-dir", whole))["turns"]["stored"] == turns
    for part in (0, turns // 4):
        kill_when(start(export, "--user", "me", "--data-dir", cut), cut, part)
    before = stored_turns(cut)
    assert turns // 4 < before < turns
    report = finish(start(export, "--user", "me", "--data-dir", cut))
    assert report["turns"]["already_there"] == before
    assert report["turns"]["stored"] == turns - before
    assert content_hash(cut) == content_hash(whole)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc for the memory")
@pytest.mark.timeout(7200)
def test_memory_of_each_process_stays_below_300_mb(tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    write_export(export, MEGABYTES)
    process = start(export, "--user", "me", "--data-dir", tmp_path / "data")
    processes = peak = 0
    while process.poll() is None:
        if (memory := memory_of(process.pid)) is not None:
            processes = max(processes, memory.processes)
            peak = max(peak, memory.of_the_largest_bytes)
        signal.sigtimedwait([], 0.05)
    finish(process)
    assert processes > 2
    assert 0 < peak / 1e6 < MAX_RSS_MB
