"""`python -m eval gateway` end to end; no test depends on a measured time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eval.benchmarks.gateway.plan import ROUNDS, GatewayPlan
from eval.benchmarks.gateway.streams import measure_slow_streams
from eval.errors import MeasurementError
from tests.support.environment import ROOT
from tests.support.upstream import serving


def test_gateway_is_compared_with_upstream(tmp_path: Path) -> None:
    out = tmp_path / "gateway.json"
    command = [sys.executable, "-m", "eval", "gateway", "--json-out", str(out)]
    options = ["--streams", "2", "--requests", "16", "--history", "6", "--pace-ms", "5"]
    environment = {name: value for name, value in os.environ.items() if "MEMORY_" not in name}
    process = subprocess.run(
        [*command, *options, "--slow-streams", "5"],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(out.read_text(encoding="utf-8"))
    part = result["streams"][0]["first_byte"]
    assert (part["direct"]["samples"], part["gateway"]["samples"]) == (16, 16)
    added = part["gateway"]["p50_ms"] - part["direct"]["p50_ms"]
    assert abs(part["added_p50_ms"] - added) < 0.01
    memory = result["memory"]["during"]
    assert memory["service_rss_bytes"] > memory["children_rss_bytes"] > 0


def test_requests_per_stream_are_limited() -> None:
    plan = GatewayPlan([1, 16], 320, 60, 50, 200, 0)
    assert [count * ROUNDS * plan.each(count) for count in plan.streams] == [48, 320]
    assert plan.total == 1 + 2 * 48 + 16 + 2 * 320 + 200


def test_failing_stream_ends_measurement() -> None:
    async def measure(url: str) -> None:
        plan = GatewayPlan([], 1, 0, 5, 3, 0)
        await measure_slow_streams(plan, url, lambda: None, lambda: None)

    async def refuse(_: Request) -> Response:
        return Response(status_code=503)

    app = Starlette(routes=[Route("/chat/completions", refuse, methods=["POST"])])
    with serving(app) as url, pytest.raises(MeasurementError, match="503"):
        asyncio.run(measure(url))
