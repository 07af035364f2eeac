"""`python -m eval speed` end to end; no test depends on a measured time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from eval.benchmarks import workloads
from eval.benchmarks.measured_service import serving
from eval.benchmarks.timing import percentiles
from eval.errors import MeasurementError
from tests.support.environment import ROOT

TURNS = 1_000
SAMPLES = 3


def run_speed(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own; `folder` also takes its temporary files."""
    environment = {name: value for name, value in os.environ.items() if "MEMORY_" not in name}
    command = [sys.executable, "-m", "eval", "speed", "--seconds", "5", "--starts", "1"]
    return subprocess.run(
        [*command, "--samples", str(SAMPLES), "--writers", "2", *options],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    out = folder / "speed.json"
    process = run_speed(folder, "--turns", str(TURNS), "--json-out", str(out))
    assert process.returncode == 0, process.stderr
    return dict(json.loads(out.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path",
    [
        ("baseline", "insert"),
        ("baseline", "fsync_4kb"),
        ("one_conversation", "append", "alone"),
        ("one_conversation", "list"),
        ("one_conversation", "search"),
        ("one_conversation", "context"),
        ("one_conversation", "clients", "16", "context"),
        ("one_conversation", "beside_a_writer", "context"),
        ("vectors", "numpy_conversation"),
        ("vectors", "chroma_where"),
        ("many_conversations", "search"),
        ("many_conversations", "context"),
    ],
)
def test_loops_report_samples_and_percentiles(
    result: dict[str, Any], path: tuple[str, ...]
) -> None:
    part = result["sizes"][0]
    for name in path:
        part = part[name]
    assert part["samples"] == SAMPLES
    assert 0 < part["p50_ms"] <= part["p99_ms"] <= part["max_ms"]


def test_all_turns_are_stored_in_both_layouts(result: dict[str, Any]) -> None:
    size = result["sizes"][0]
    layouts = [size["one_conversation"], size["many_conversations"]]
    assert [layout["bulk"]["turns"] for layout in layouts] == [TURNS, TURNS]
    assert all(layout["disk_bytes"]["turn_log"] > 0 for layout in layouts)


def test_result_has_provenance(result: dict[str, Any]) -> None:
    assert result["provenance"].keys() >= {"commit", "dirty", "python", "packages", "cpu_count"}
    assert result["provenance"]["plan"]["turns"] == [TURNS]


def test_temporary_files_are_removed(folder: Path, result: dict[str, Any]) -> None:
    assert result["sizes"]
    assert [path.name for path in folder.iterdir()] == ["speed.json"]


def test_service_that_does_not_start_ends_measurement(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with (
        pytest.raises(MeasurementError, match="the service ended with exit code"),
        serving(tmp_path / "data", tmp_path / "log"),
    ):
        pass
    assert "cannot be used" in (tmp_path / "log").read_text(encoding="utf-8")


def test_percentiles_are_nearest_rank() -> None:
    times = percentiles([number / 1000 for number in range(100, 0, -1)])
    assert (times.p50_ms, times.p99_ms, times.max_ms) == (50.0, 99.0, 100.0)


def test_made_texts_are_deterministic_by_seed() -> None:
    first, second, third = (
        list(islice(workloads.made_texts(Random(seed)), 50)) for seed in (1, 1, 2)
    )
    assert first == second != third


def test_made_vocabulary_grows_ever_more_slowly() -> None:
    texts = list(islice(workloads.made_texts(Random(0)), 4_000))
    first, half, whole = (len({*" ".join(texts[:n]).split()}) for n in (1, 2_000, 4_000))
    assert first < half < whole
    assert whole - half < half
