"""`python -m eval growth`: sizes, modes, kept stores, and the plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.__main__ import app


def measure_growth(folder: Path, *options: str) -> list[dict[str, Any]]:
    out = folder / "growth.json"
    result = CliRunner().invoke(
        app, ["growth", "--questions", "5", "--json-out", str(out), *options]
    )
    assert result.exit_code == 0, result.output
    return list(json.loads(out.read_text(encoding="utf-8"))["sizes"])


@pytest.mark.parametrize(
    ("options", "passages"),
    [
        (["--size", "80", "--size", "120"], [80, 120]),
        (["--layout", "many", "--size", "3", "--size", "5"], [60, 100]),
    ],
)
def test_each_size_is_measured_in_both_modes(
    tmp_path: Path, options: list[str], passages: list[int]
) -> None:
    sizes = measure_growth(tmp_path, *options)
    assert [size["exact_scan_max"] == 0 for size in sizes] == [
        False,
        True,
        False,
        True,
    ]
    # A long paste has several passages; a conversation that is asked about is larger than others.
    assert all(
        size["passages"] >= least for size, least in zip(sizes, sorted(passages * 2), strict=True)
    )
    for size in sizes:
        assert size["questions"] == 5
        assert 0 < size["recall@10"] <= 1
        assert 0 < size["context_ms"]["p50"] <= size["context_ms"]["p99"]


def test_growth_is_deterministic_by_seed(tmp_path: Path) -> None:
    runs = [measure_growth(tmp_path, "--size", "90") for _ in range(2)]
    assert [size["recall@10"] for size in runs[0]] == [size["recall@10"] for size in runs[1]]


def test_kept_store_is_reused(tmp_path: Path) -> None:
    options = ["--size", "90", "--keep", str(tmp_path / "stores")]
    first = measure_growth(tmp_path, *options)
    log = tmp_path / "stores" / "one-90" / "data" / "turn_log.sqlite3"
    inode = log.stat().st_ino
    again = measure_growth(tmp_path, *options, "--size", "110")
    assert log.stat().st_ino == inode
    assert [size["size"] for size in again] == [90, 90, 110, 110]
    assert again[0]["by_question"][0]["id"] == first[0]["by_question"][0]["id"]
    assert again[0]["recall@10"] == first[0]["recall@10"]


def test_store_of_other_turns_is_refused(tmp_path: Path) -> None:
    options = ["growth", "--questions", "1", "--size", "70", "--keep", str(tmp_path)]
    assert CliRunner().invoke(app, options).exit_code == 0
    refused = CliRunner().invoke(app, [*options, "--seed", "1"])
    assert refused.exit_code == 1
    assert "holds other turns" in refused.output


def test_equal_modes_are_measured_once(tmp_path: Path) -> None:
    modes = ["--exact-scan-max", "1000", "--exact-scan-max", "10", "--exact-scan-max", "0"]
    assert [
        size["exact_scan_max"] for size in measure_growth(tmp_path, "--size", "90", *modes)
    ] == [
        1000,
        10,
    ]


def test_growth_plot(tmp_path: Path) -> None:
    size = {"recall@10": 0.8, "evidence@1000": 0.9, "search_ms": {"p50": 4.0}}
    (tmp_path / "g.json").write_text(
        json.dumps({"sizes": [{"size": 1_000, **size}, {"size": 10_000, **size}]}),
        encoding="utf-8",
    )
    out = tmp_path / "growth.svg"
    options = ["growth-plot", str(tmp_path / "g.json"), "--out", str(out)]
    assert CliRunner().invoke(app, options).exit_code == 0
    assert "10,000" in out.read_text(encoding="utf-8")
