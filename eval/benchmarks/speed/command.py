"""`python -m eval speed`: the speed of the service over HTTP on loopback, compared with bare parts.

The bare parts, measured in the same run, are SQLite for what is stored, numpy and Chroma for
vectors. The service runs as its command does, in a process and a folder of its own, without keys.
Requests go through httpx2 with connections kept alive: the overhead of the official client is not
in the numbers, that of httpx2 is. The time of a request that does nothing is reported too.
TMPDIR chooses the disk that is measured.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.progress import Progress

from eval.benchmarks.speed import layouts, sqlite_baseline, vector_baseline
from eval.benchmarks.speed.measurements import SizeMeasurement
from eval.benchmarks.speed.plan import BASELINE_ROWS, SMALL_CONVERSATION, SpeedPlan
from eval.benchmarks.speed.table import table
from eval.benchmarks.speed.workload import log_in, prepare
from eval.console import complain, output_file, progress_bar
from eval.errors import EvaluationError
from eval.json_files import Json, write_json
from eval.provenance import provenance
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core.settings import load_settings

_LOG_TAIL = 40
_CLIENT = "httpx2 with keep-alive, from one process on the same machine"


def speed(
    turns: Annotated[
        list[int] | None, typer.Option(min=1, help="Turns to store; repeatable.")
    ] = None,
    writers: Annotated[int, typer.Option(min=1, help="Threads that append at once.")] = 16,
    samples: Annotated[int, typer.Option(min=1, help="Requests of a timing loop.")] = 500,
    seconds: Annotated[float, typer.Option(help="Longest time of a timing loop.")] = 30.0,
    starts: Annotated[int, typer.Option(min=1, help="Starts for each start time.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the texts and queries.")] = 0,
    docs: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="JSON lines with a `text`, instead of made texts."
        ),
    ] = None,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Measure start, append, list, search and context over HTTP, and bare SQLite and Chroma."""
    plan = SpeedPlan(turns or [1_000, 100_000], writers, samples, seconds, starts, seed, docs or [])
    about = _about(plan)
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        sizes = [_measure(plan, size, Path(folder) / str(size)) for size in plan.turns]
    if json_out is not None:
        write_json(json_out, {"provenance": about, "sizes": [size.as_json() for size in sizes]})
    stdout().print(table(sizes))


def _about(plan: SpeedPlan) -> Json:
    """Return what the numbers are taken on."""
    taken = provenance(load_settings(), seed=plan.seed).as_json()
    return {**taken, "client": _CLIENT, "plan": plan.as_json()}


def _measure(plan: SpeedPlan, size: int, folder: Path) -> SizeMeasurement:
    """Return the numbers of one size; ends the command with the service's log if that fails."""
    folder.mkdir()
    try:
        with progress_bar() as progress:
            return measure(plan, size, folder, progress)
    except (EvaluationError, httpx2.HTTPError, OSError, ValueError) as error:
        _show_log(log_in(folder))
        raise complain("speed", error) from error


def measure(plan: SpeedPlan, size: int, folder: Path, progress: Progress) -> SizeMeasurement:
    """Return all numbers of one size: the bare parts, one large conversation, many small ones."""
    workload = prepare(plan, size, folder, progress)
    baseline = sqlite_baseline.measure(workload.stored[:BASELINE_ROWS], folder, workload.loop)
    queries = [workload.query() for _ in range(plan.samples)]
    vectors = vector_baseline.measure(
        workload.stored, queries, min(SMALL_CONVERSATION, size), folder / "vectors", workload.loop
    )
    in_one_conversation = layouts.one_conversation(workload)
    is_large = size >= 2 * SMALL_CONVERSATION
    return SizeMeasurement(
        turns=size,
        mean_characters=round(sum(map(len, workload.stored)) / size, 1),
        baseline=baseline,
        vectors=vectors,
        one_conversation=in_one_conversation,
        many_conversations=layouts.many_conversations(workload) if is_large else None,
    )


def _show_log(log: Path) -> None:
    """Print the last lines of the service's log."""
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        text = "\n".join(["The service's last log lines:", *lines[-_LOG_TAIL:]])
        stderr().print(harmless(text))
