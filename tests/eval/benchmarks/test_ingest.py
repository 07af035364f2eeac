"""`python -m eval ingest` measures both ways of storing the same turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.chatgpt_export import write_export
from tests.support.environment import ROOT


def test_ingest_measures_both_ways_of_storing(tmp_path: Path) -> None:
    export, out = tmp_path / "export.zip", tmp_path / "out.json"
    turns = write_export(export, 0.2)
    command = [sys.executable, "-m", "eval", "ingest", str(export), "--json-out", str(out)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    result = json.loads(out.read_text())
    assert result["alone"]["turns"] == result["ingested"]["turns"] == turns
    speeds = [result[way]["searchable_turns_per_s"] for way in ("ingested", "alone")]
    assert 0 < result["ratio"] == round(speeds[0] / speeds[1], 3)
    if Path("/proc/self/status").exists():
        highest = (
            result["ingested"]["of_the_largest_bytes"],
            result["ingested"]["highest_rss_bytes"],
        )
        assert 20e6 < highest[0] < highest[1]
