"""`python -m eval gateway`: the time that the gateway adds to chat completions of its upstream.

The same streamed requests go directly to a stand-in for the upstream and through the gateway, in
alternating rounds of one run. Stand-in and service each have a process. The stand-in waits between
its chunks, as a model does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from eval.benchmarks.gateway.measurements import SlowStreamsMeasurement, StreamsMeasurement
from eval.benchmarks.gateway.plan import MOST_EACH, GatewayPlan
from eval.benchmarks.gateway.streams import (
    OnStream,
    Ways,
    measure_slow_streams,
    measure_streams,
)
from eval.benchmarks.gateway.table import table
from eval.benchmarks.measured_service import serving
from eval.console import complain, output_file, progress_bar
from eval.errors import EvaluationError, MeasurementError
from eval.json_files import write_json
from eval.provenance import provenance
from memory_service.commands.terminal import stdout
from memory_service.core.settings import load_settings

_CHECKOUT = Path(__file__).parents[3]


def gateway(
    streams: Annotated[
        list[int] | None, typer.Option(min=1, help="Streams at once; repeatable.")
    ] = None,
    requests: Annotated[
        int,
        typer.Option(min=1, help=f"Requests of each way and number; at most {MOST_EACH} a stream."),
    ] = 320,
    history: Annotated[int, typer.Option(min=0, help="Turns that a conversation has before.")] = 60,
    pace_ms: Annotated[int, typer.Option(min=0, help="Milliseconds between two chunks.")] = 50,
    slow_streams: Annotated[
        int, typer.Option(min=1, help="Slow streams that are open when memory is measured.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the texts.")] = 0,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Measure the latency that the gateway adds to streams, and its memory under many slow ones."""
    plan = GatewayPlan(streams or [1, 16], requests, history, pace_ms, slow_streams, seed)
    about = provenance(load_settings(), seed=seed).as_json()
    try:
        with progress_bar() as progress:
            task = progress.add_task("streams", total=plan.total)
            measured, slow = _measure(plan, lambda: progress.advance(task))
    except (EvaluationError, OSError, httpx2.HTTPError, TimeoutError) as error:
        raise complain("gateway", error) from error
    if json_out is not None:
        result = {
            "provenance": about,
            "plan": asdict(plan),
            "streams": [asdict(measurement) for measurement in measured],
            "memory": asdict(slow),
        }
        write_json(json_out, result)
    stdout().print(table(measured, slow))


def _measure(
    plan: GatewayPlan, on_stream: OnStream
) -> tuple[Sequence[StreamsMeasurement], SlowStreamsMeasurement]:
    """Return the latency by number of streams, and the memory under slow ones."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder, _stand_in() as upstream:
        log = Path(folder) / "server.log"
        # Summaries would ask the same stand-in in between.
        settings = {"MEMORY_UPSTREAM_BASE_URL": upstream, "MEMORY_SUMMARIES": "false"}
        with serving(Path(folder) / "data", log, settings) as service:
            ways = Ways(direct=upstream, gateway=f"{service.address}/v1")
            streams = asyncio.run(measure_streams(plan, ways, service.cpu_seconds, on_stream))
            slow = asyncio.run(measure_slow_streams(plan, ways.gateway, service.memory, on_stream))
    return streams, slow


@contextmanager
def _stand_in() -> Iterator[str]:
    """Run the stand-in for the upstream; yields its base URL."""
    command = [sys.executable, "-m", "tests.support.upstream"]
    with subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise MeasurementError("the stand-in for the upstream did not start")
            yield base_url
        finally:
            process.terminate()
