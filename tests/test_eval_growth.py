"""Growth: the same questions, the same turns that answer them, ever more around these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.__main__ import app


def measured(folder: Path, *options: str) -> list[dict[str, Any]]:
    out = folder / "growth.json"
    done = CliRunner().invoke(app, ["growth", "--questions", "5", "--json-out", str(out), *options])
    assert done.exit_code == 0, done.output
    return list(json.loads(out.read_text(encoding="utf-8"))["sizes"])


@pytest.mark.parametrize(
    ("options", "passages"),
    [
        (["--size", "80", "--size", "120"], [80, 120]),
        (["--layout", "many", "--size", "3", "--size", "5"], [150, 250]),
    ],
)
def test_each_size_is_asked_in_memory_and_by_chroma(
    tmp_path: Path, options: list[str], passages: list[int]
) -> None:
    sizes = measured(tmp_path, *options)
    assert [one["exact_scan_max"] == 0 for one in sizes] == [False, True, False, True]
    # A long paste has several passages; a conversation that is asked about is larger than others.
    assert all(
        one["passages"] >= least for one, least in zip(sizes, sorted(passages * 2), strict=True)
    )
    for one in sizes:
        assert one["questions"] == 5
        assert 0 < one["recall@10"] <= 1
        assert 0 < one["context_ms"]["p50"] <= one["context_ms"]["p99"]


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    runs = [measured(tmp_path, "--size", "90") for _ in range(2)]
    assert [one["recall@10"] for one in runs[0]] == [one["recall@10"] for one in runs[1]]
