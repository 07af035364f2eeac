"""`python -m eval ingest` measures both ways of storing, on the same turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from chatgpt_export import write_export

ROOT = Path(__file__).parents[1]


def test_an_export_is_ingested_and_its_turns_are_stored_alone(tmp_path: Path) -> None:
    export, out = tmp_path / "export.zip", tmp_path / "out.json"
    turns = write_export(export, 0.2)
    command = [sys.executable, "-m", "eval", "ingest", str(export), "--json-out", str(out)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert found["alone"]["turns"] == found["ingested"]["turns"] == turns
    for name, ratio in found["ratios"].items():
        assert 0 < ratio == round(found["ingested"][name] / found["alone"][name], 3)
