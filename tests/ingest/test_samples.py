"""Public samples of exports: their turns are stored completely and found by recall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from ingest.cli import app
from memory_service.commands.main import app as service_app
from tests.support.environment import BENCHMARK_DATA

EXPORTS = BENCHMARK_DATA / "exports"
pytestmark = pytest.mark.skipif(
    not EXPORTS.is_dir(), reason=f"{EXPORTS} is not there: see BENCHMARK_DATA"
)

# By file: conversations read and stored, turns stored, turns skipped by reason, warnings.
COUNTS: list[tuple[str, int, int, int, dict[str, int], int]] = [
    (
        "chatgpt/chatlore_conversations.json",
        *(3, 2, 8),
        {"hidden": 1, "not on the active branch": 1, "reasoning": 1},
        1,
    ),
    ("chatgpt/geniusrise_you_conversations.json", 1, 1, 2, {}, 0),
    ("chatgpt/insightmesh_chatgpt_export.json", 3, 3, 8, {"not on the active branch": 1}, 0),
    ("claude_ai/botknows_claude_export.json", 1, 1, 4, {}, 0),
    (
        "claude_ai/chatlore_conversations.json",
        *(2, 2, 7),
        {"empty": 1, "not on the active branch": 2},
        1,
    ),
    ("claude_ai/openarchive_claude_export.json", 1, 1, 2, {"broken": 1, "reasoning": 1}, 1),
]

QUESTIONS = [
    ("Which index did my slow query on orders need?", "missing an index on customer_id"),
    ("Where did you suggest to go for a weekend near Lisbon?", "Sintra"),
    ("Which is simpler for fan-out, gather or wait?", "simpler choice for fan-out"),
    ("What name did I get for my cat?", "Biscuit"),
    ("Why was there no space left when I built the image?", "No space left on device"),
    ("Do lean legs skew the body fat scale?", "very lean legs"),
]


@pytest.mark.parametrize(
    ("name", "read", "stored", "turns", "skipped", "warnings"),
    COUNTS,
    ids=[name for name, *_ in COUNTS],
)
def test_dry_run_counts_of_sample(
    name: str,
    read: int,
    stored: int,
    turns: int,
    skipped: dict[str, int],
    warnings: int,
    tmp_path: Path,
) -> None:
    arguments = [str(EXPORTS / name), "--data-dir", str(tmp_path / "data"), "--dry-run", "--json"]
    result = CliRunner().invoke(app, arguments)
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert report["format"] == name.partition("/")[0]
    assert (report["conversations"]["read"], report["conversations"]["stored"]) == (read, stored)
    assert report["turns"]["stored"] == turns
    assert report["turns"]["skipped"] == skipped
    assert len(report["warnings"]) == warnings
    assert result.exit_code == bool(warnings)


def test_recall_finds_turns_of_samples(address: str) -> None:
    files = [str(EXPORTS / name) for name, *_ in COUNTS]
    result = CliRunner().invoke(app, [*files, "--url", address, "--user", "me", "--quiet"])
    assert result.exit_code == 1, result.output
    for question, answer in QUESTIONS:
        body = {"query": question, "user_id": "me", "top_k": 10}
        hits = httpx2.post(f"{address}/v1/search", json=body).json()["data"]
        assert any(answer in hit["text"] for hit in hits), question


def test_samples_survive_export_and_ingestion(tmp_path: Path) -> None:
    files = [str(EXPORTS / name) for name, *_ in COUNTS]
    original, copy, path = tmp_path / "one", tmp_path / "other", tmp_path / "export.jsonl"
    options = ["--user", "me", "--branches", "all", "--reasoning", "--quiet"]
    CliRunner().invoke(app, [*files, "--data-dir", str(original), *options])
    before = CliRunner().invoke(service_app, ["export", "--data-dir", str(original)]).stdout
    path.write_text(before)
    assert CliRunner().invoke(app, [str(path), "--data-dir", str(copy)]).exit_code == 0
    after = CliRunner().invoke(service_app, ["export", "--data-dir", str(copy)]).stdout
    assert len(before.splitlines()) == 10
    assert after == before
