"""`python -m eval gateway`: what the gateway adds to a chat completion, beside the model's server.

The same streamed requests go directly to a stand-in for the model's server and through the service,
by turns, in one run. Stand-in and service have a process each. The stand-in lets some time pass
between its chunks, as a model does. Each stream has a conversation of its own, whose whole history
its client sends again with every request.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.table import Table

from eval import runs, workloads
from eval.serving import MeasurementError, serving
from eval.speed import summary
from memory_service.terminal import stderr, stdout

Json = dict[str, Any]

ROUNDS = 4
"""Times that direct requests and requests through the service take turns."""

CHUNKS = 20
"""Chunks of an answer with words in them, about."""

_SLOW_PACE_MS = 1_000
_TIMEOUT_SECONDS = 120.0
_STAND_IN = Path(__file__).parents[1] / "tests" / "upstream.py"
_PACKAGES = ("fastapi", "uvicorn", "httpx2", "sqlalchemy", "chromadb")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured; `history` counts the turns that each conversation has before."""

    streams: Sequence[int]
    requests: int
    history: int
    pace_ms: int
    slow_streams: int
    seed: int


def gateway(
    streams: Annotated[
        list[int] | None, typer.Option(min=1, help="Streams at once; may be repeated.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests of each way and number.")] = 320,
    history: Annotated[int, typer.Option(min=0, help="Turns of a conversation before.")] = 60,
    pace_ms: Annotated[int, typer.Option(min=0, help="Milliseconds between two chunks.")] = 50,
    slow_streams: Annotated[int, typer.Option(min=1, help="Open streams for the memory.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the texts.")] = 0,
    json_out: Annotated[Path | None, typer.Option(help="File for all numbers, as JSON.")] = None,
) -> None:
    """Measure the latency that the gateway adds to streams, and its memory under many slow ones."""
    plan = Plan(streams or [1, 16], requests, history, pace_ms, slow_streams, seed)
    result: Json = {"provenance": runs.provenance(_PACKAGES), "plan": asdict(plan)}
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder, _stand_in() as upstream:
        log = Path(folder) / "server.log"
        # Summaries would ask the same stand-in, in between.
        settings = {"MEMORY_UPSTREAM_BASE_URL": upstream, "MEMORY_SUMMARIES": "false"}
        try:
            with serving(Path(folder) / "data", log, settings) as server:
                ways = {"direct": upstream, "gateway": f"{server.address}/v1"}
                measured = asyncio.run(_Run(plan, ways).measure())
                result["memory"] = asyncio.run(_slow(plan, ways["gateway"], server.memory))
        except (MeasurementError, httpx2.HTTPError) as error:
            stderr().print(f"[bold red]The measurement failed:[/] {error}")
            raise typer.Exit(1) from error
    result["streams"] = measured
    if json_out is not None:
        runs.write_json(json_out, result)
    stdout().print(_table(result))


class _Run:
    """The latencies of one plan."""

    def __init__(self, plan: Plan, ways: dict[str, str]) -> None:
        self._plan = plan
        self._ways = ways
        self._texts = workloads.made_texts(random.Random(plan.seed))
        self._numbers = itertools.count(1)

    async def measure(self) -> list[Json]:
        """Return the times for each number of streams."""
        async with _client() as client:
            return [await self._with(client, streams) for streams in self._plan.streams]

    async def _with(self, client: httpx2.AsyncClient, streams: int) -> Json:
        talks = [_Talk(next(self._numbers), self._plan, self._texts) for _ in range(streams)]
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in self._ways}
        for talk in talks:
            # Stores the history; the first prompt of a conversation is not what is measured.
            await talk.ask(client, self._ways["gateway"])
        each = max(1, self._plan.requests // streams // ROUNDS)
        for _ in range(ROUNDS):
            for way, url in self._ways.items():
                done = await asyncio.gather(*(talk.several(client, url, each) for talk in talks))
                times[way] += itertools.chain.from_iterable(done)
        return {"streams": streams} | _compared(times)


class _Talk:
    """One conversation, whose client resends all of it."""

    def __init__(self, number: int, plan: Plan, texts: Iterator[str]) -> None:
        self._headers = {"x-conversation-id": f"talk-{number}"}
        self._model = f"paced-{plan.pace_ms}"
        self._pace = plan.pace_ms / 1000
        self._rng = random.Random(number)
        self._texts = texts
        self._messages = [
            {"role": "assistant" if place % 2 else "user", "content": next(texts)}
            for place in range(plan.history // 2 * 2)
        ]

    async def several(
        self, client: httpx2.AsyncClient, url: str, count: int
    ) -> list[tuple[float, float]]:
        """Ask several times, one after the other, beginning at any moment of a stream."""
        await asyncio.sleep(self._rng.uniform(0, CHUNKS * self._pace))
        return [await self.ask(client, url) for _ in range(count)]

    async def ask(self, client: httpx2.AsyncClient, url: str) -> tuple[float, float]:
        """Return the seconds to the first byte of the body and to its end."""
        asked = next(self._texts)
        self._messages.append({"role": "user", "content": asked})
        body = {"model": self._model, "messages": self._messages, "stream": True}
        began, first = time.perf_counter(), 0.0
        request = client.stream("POST", f"{url}/chat/completions", json=body, headers=self._headers)
        async with request as answer:
            async for _ in answer.aiter_raw():
                first = first or time.perf_counter() - began
        if not answer.is_success or "x-memory-error" in answer.headers:
            raise MeasurementError(f"{url} answered {answer.status_code} {dict(answer.headers)}")
        ended = time.perf_counter() - began
        # That is what the stand-in has answered.
        self._messages.append({"role": "assistant", "content": asked})
        return first, ended


async def _slow(plan: Plan, url: str, memory: Any) -> Json:
    """Return the memory of the service while many slow streams are open."""
    slow = Plan([], 0, plan.history, _SLOW_PACE_MS, 0, plan.seed)
    texts = workloads.made_texts(random.Random(plan.seed))
    before = memory()
    opened = asyncio.Semaphore(0)

    async def hold(client: httpx2.AsyncClient, number: int) -> None:
        body = {
            "model": f"paced-{slow.pace_ms}",
            "messages": [{"role": "user", "content": next(texts)}],
            "stream": True,
        }
        request = client.stream(
            "POST",
            f"{url}/chat/completions",
            json=body,
            headers={"x-conversation-id": f"slow-{number}"},
        )
        async with request as answer:
            async for _ in answer.aiter_raw():
                opened.release()
                break
            await asyncio.Event().wait()

    async with _client() as client:
        tasks = [asyncio.create_task(hold(client, n)) for n in range(plan.slow_streams)]
        for _ in tasks:
            await asyncio.wait_for(opened.acquire(), _TIMEOUT_SECONDS)
        during = memory()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"slow_streams": plan.slow_streams, "before": before, "during": during}


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False)


def _compared(times: dict[str, list[tuple[float, float]]]) -> Json:
    """Return percentiles by way, and what the gateway adds to each."""
    found: Json = {}
    for place, name in enumerate(("first_byte", "whole")):
        by_way = {way: summary([one[place] for one in taken]) for way, taken in times.items()}
        added = {
            f"added_{rank}": round(by_way["gateway"][rank] - by_way["direct"][rank], 3)
            for rank in ("p50_ms", "p99_ms")
        }
        found[name] = by_way | added
    return found


@contextmanager
def _stand_in() -> Iterator[str]:
    """Run the stand-in for a model's server; yields its base URL."""
    command = [sys.executable, str(_STAND_IN)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _table(result: Json) -> Table:
    table = Table("streams", "what", "direct p50 / p99 ms", "gateway p50 / p99 ms", "added")
    for row in result["streams"]:
        for name in ("first_byte", "whole"):
            part = row[name]
            table.add_row(
                str(row["streams"]),
                name.replace("_", " "),
                *(
                    f"{part[way]['p50_ms']} / {part[way]['p99_ms']}"
                    for way in ("direct", "gateway")
                ),
                f"{part['added_p50_ms']} / {part['added_p99_ms']}",
            )
    during = result["memory"]["during"]
    if during is not None:
        said = f"{during['rss_bytes'] / 1e6:.0f} MB in {during['processes']} processes"
        table.add_row(str(result["memory"]["slow_streams"]), "slow, memory", "", said, "")
    return table
