"""The benchmark of the gateway runs end to end and writes what it says; no test looks at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_compares_the_gateway_with_the_models_server_itself(tmp_path: Path) -> None:
    out = tmp_path / "gateway.json"
    command = [sys.executable, "-m", "eval", "gateway", "--json-out", str(out)]
    few = ["--streams", "2", "--requests", "16", "--history", "6", "--pace-ms", "5"]
    environment = {name: value for name, value in os.environ.items() if "MEMORY_" not in name}
    done = subprocess.run(
        [*command, *few, "--slow-streams", "5"],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    part = result["streams"][0]["first_byte"]
    assert (part["direct"]["samples"], part["gateway"]["samples"]) == (16, 16)
    added = part["gateway"]["p50_ms"] - part["direct"]["p50_ms"]
    assert abs(part["added_p50_ms"] - added) < 0.01
    assert result["memory"]["during"]["rss_bytes"] > 0
