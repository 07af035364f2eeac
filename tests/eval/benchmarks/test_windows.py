"""`python -m eval windows`: the sizes that are compared, and what is counted of their prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

from eval.__main__ import app
from eval.benchmarks.windows.reuse import ReuseMeasurement, measure_reuse
from eval.benchmarks.windows.sizes import PromptSize, sizes
from memory_service.core.settings import Settings
from memory_service.service import Service
from tests.support.storing import idle_service

SMALL, LARGE = PromptSize(4_000, 100, 0), PromptSize(4_000, 2_000, 0)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with idle_service(Settings(data_dir=tmp_path, log_level="error")) as opened:
        yield opened


def test_window_takes_at_most_half_of_budget() -> None:
    assert sizes([1_000, 4_000], [500, 1_000], [10]) == [
        PromptSize(1_000, 500, 10),
        PromptSize(4_000, 500, 10),
        PromptSize(4_000, 1_000, 10),
    ]


def test_growing_window_reuses_all_but_what_is_new(service: Service) -> None:
    small, large = measure_reuse(
        service, [SMALL, LARGE], words=10, exchanges=16, seed=0, progress=Progress()
    )
    assert (small.exchanges, large.exchanges) == (12, 12)
    # Without a recalled block, a window that only grows sends nothing again at another place.
    assert large.not_reused == pytest.approx(large.unavoidable, abs=4)
    assert small.tokens < large.tokens
    assert small.not_reused > large.not_reused
    assert small.reused_share < large.reused_share


def test_reused_token_costs_a_tenth() -> None:
    measured = ReuseMeasurement(SMALL, 40, 10, tokens=1_000, not_reused=200, unavoidable=150)
    assert (measured.reused_share, measured.cost) == (0.8, 280)


def test_command_writes_evidence_and_reuse(tmp_path: Path) -> None:
    out = tmp_path / "windows.json"
    options = ["--questions", "2", "--budget", "4000", "--recent-tokens", "500", "--words", "5"]
    result = CliRunner().invoke(
        app, ["windows", *options, "--exchanges", "4", "--json-out", str(out)]
    )
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text(encoding="utf-8"))
    (evidence,), (reuse,) = written["evidence"], written["reuse"]
    assert evidence["questions"] == 2
    assert 0 <= evidence["gold"] <= 1
    assert reuse["size"] == {"budget": 4_000, "recent_tokens": 500, "top_k": 10}
