"""`python -m eval gateway`: what the gateway adds to a chat completion, beside the model's server.

The same streamed requests go directly to a stand-in for the model's server and through the service,
by turns, in one run. Stand-in and service have a process each. The stand-in lets some time pass
between its chunks, as a model does. Each stream has a conversation of its own, whose whole history
its client sends again with every request. A stream that fails, or is silent for half a minute, ends
the measurement with an error.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.table import Table

from eval.benchmarks import workloads
from eval.benchmarks.serving import MeasurementError, serving
from eval.benchmarks.speed import summary
from eval.console import complain, output_file, progress_bar
from eval.runs import provenance
from memory_service.commands.terminal import stdout

Json = dict[str, Any]
Times = list[tuple[float, float]]
Done = Callable[[], None]

ROUNDS = 4
"""Times that direct requests and requests through the service take turns."""

CHUNKS = 20
"""Chunks of an answer with words in them, about."""

MOST_EACH = 48
"""Requests of one stream each way: they take a second each, and few streams would take long."""

FEW_SAMPLES = 100
"""Of fewer samples the slowest is what is reported as p99."""

_SLOW_PACE_MS = 1_000
_TIMEOUT_SECONDS = 30.0
_STAND_IN = Path(__file__).parents[2] / "tests" / "support" / "upstream.py"
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

    def each(self, streams: int) -> int:
        """Return how many requests a stream makes in one round of one way."""
        return max(1, min(MOST_EACH, self.requests // streams) // ROUNDS)

    @property
    def total(self) -> int:
        """All streams that are opened."""
        asked = sum(count * (1 + 2 * ROUNDS * self.each(count)) for count in self.streams)
        return asked + self.slow_streams


def gateway(
    streams: Annotated[
        list[int] | None, typer.Option(min=1, help="Streams at once; may be repeated.")
    ] = None,
    requests: Annotated[
        int,
        typer.Option(min=1, help=f"Requests of each way and number; at most {MOST_EACH} a stream."),
    ] = 320,
    history: Annotated[int, typer.Option(min=0, help="Turns of a conversation before.")] = 60,
    pace_ms: Annotated[int, typer.Option(min=0, help="Milliseconds between two chunks.")] = 50,
    slow_streams: Annotated[int, typer.Option(min=1, help="Open streams for the memory.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the texts.")] = 0,
    json_out: Annotated[Path | None, output_file("File for all numbers, as JSON.")] = None,
) -> None:
    """Measure the latency that the gateway adds to streams, and its memory under many slow ones."""
    plan = Plan(streams or [1, 16], requests, history, pace_ms, slow_streams, seed)
    result: Json = {"provenance": provenance.provenance(_PACKAGES), "plan": asdict(plan)}
    try:
        with progress_bar() as bar:
            task = bar.add_task("streams", total=plan.total)
            result |= _measured(plan, lambda: bar.advance(task))
    except (MeasurementError, OSError, httpx2.HTTPError, TimeoutError) as error:
        raise complain("gateway", error) from error
    if json_out is not None:
        provenance.write_json(json_out, result)
    stdout().print(_table(result))


def _measured(plan: Plan, done: Done) -> Json:
    """Return the times by number of streams, and the memory under slow ones."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder, _stand_in() as upstream:
        log = Path(folder) / "server.log"
        # Summaries would ask the same stand-in, in between.
        settings = {"MEMORY_UPSTREAM_BASE_URL": upstream, "MEMORY_SUMMARIES": "false"}
        with serving(Path(folder) / "data", log, settings) as server:
            ways = {"direct": upstream, "gateway": f"{server.address}/v1"}
            streams = asyncio.run(_Run(plan, ways, server.cpu_seconds, done).measure())
            memory = asyncio.run(_slow(plan, ways["gateway"], server.memory, done))
    return {"streams": streams, "memory": memory}


class _Run:
    """The latencies of one plan."""

    def __init__(
        self,
        plan: Plan,
        ways: Mapping[str, str],
        cpu_seconds: Callable[[], float | None],
        done: Done,
    ) -> None:
        self._plan = plan
        self._ways = ways
        self._cpu_seconds = cpu_seconds
        self._done = done
        self._texts = workloads.made_texts(random.Random(plan.seed))
        self._numbers = itertools.count(1)

    async def measure(self) -> list[Json]:
        """Return the times for each number of streams."""
        async with _client() as client:
            return [await self._with(client, streams) for streams in self._plan.streams]

    async def _with(self, client: httpx2.AsyncClient, streams: int) -> Json:
        talks = [
            _Talk(next(self._numbers), self._plan, self._texts, self._done) for _ in range(streams)
        ]
        times: dict[str, Times] = {way: [] for way in self._ways}
        # Stores the history; the first prompt of a conversation is not what is measured.
        await asyncio.gather(*(talk.ask(client, self._ways["gateway"]) for talk in talks))
        each, before = self._plan.each(streams), self._cpu_seconds()
        for _ in range(ROUNDS):
            for way, url in self._ways.items():
                asked = await asyncio.gather(*(talk.several(client, url, each) for talk in talks))
                times[way] += itertools.chain.from_iterable(asked)
        used = _per_request(before, self._cpu_seconds(), len(times["gateway"]))
        return {"streams": streams, "service_cpu_ms_per_request": used} | _compared(times)


class _Talk:
    """One conversation, whose client resends all of it."""

    def __init__(self, number: int, plan: Plan, texts: Iterator[str], done: Done) -> None:
        self._headers = {"x-conversation-id": f"talk-{number}"}
        self._model = f"paced-{plan.pace_ms}"
        self._pace = plan.pace_ms / 1000
        self._rng = random.Random(number)
        self._texts = texts
        self._done = done
        self._messages = [
            {"role": "assistant" if place % 2 else "user", "content": next(texts)}
            for place in range(plan.history // 2 * 2)
        ]

    async def several(self, client: httpx2.AsyncClient, url: str, count: int) -> Times:
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
        self._done()
        return first, ended


async def _slow(plan: Plan, url: str, memory: Callable[[], Json | None], done: Done) -> Json:
    """Return the memory of the service while many slow streams are open."""
    texts = workloads.made_texts(random.Random(plan.seed))
    before = memory()
    async with _client() as client, AsyncExitStack() as streams:
        opening = [
            _opened(client, url, number, next(texts), done) for number in range(plan.slow_streams)
        ]
        for answer in await asyncio.gather(*opening):
            streams.push_async_callback(answer.aclose)
        during = memory()
    return {"slow_streams": plan.slow_streams, "before": before, "during": during}


async def _opened(
    client: httpx2.AsyncClient, url: str, number: int, text: str, done: Done
) -> httpx2.Response:
    """Return a slow stream whose first bytes have come."""
    body = {
        "model": f"paced-{_SLOW_PACE_MS}",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
    }
    headers = {"x-conversation-id": f"slow-{number}"}
    request = client.build_request("POST", f"{url}/chat/completions", json=body, headers=headers)
    answer = await client.send(request, stream=True)
    if not answer.is_success or "x-memory-error" in answer.headers:
        raise MeasurementError(f"{url} answered {answer.status_code} {dict(answer.headers)}")
    await anext(answer.aiter_raw())
    done()
    return answer


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False)


def _per_request(before: float | None, after: float | None, requests: int) -> float | None:
    """Return milliseconds of processor time: the number that other work on a machine leaves be."""
    if before is None or after is None:
        return None
    return round((after - before) / requests * 1000, 1)


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
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise MeasurementError("the stand-in for a model's server did not start")
            yield base_url
        finally:
            process.terminate()


def _table(result: Json) -> Table:
    caption = (
        f"With fewer than {FEW_SAMPLES} samples, p99 is the slowest. "
        "CPU: of the service, for one request through it."
    )
    table = Table(
        "streams",
        "what",
        "samples",
        "direct p50 / p99 ms",
        "gateway p50 / p99 ms",
        "added p50 / p99 ms",
        "CPU ms",
        caption=caption,
    )
    for row in result["streams"]:
        cpu = row["service_cpu_ms_per_request"]
        for name in ("first_byte", "whole"):
            part = row[name]
            table.add_row(
                str(row["streams"]),
                name.replace("_", " "),
                f"{part['gateway']['samples']} each",
                *(
                    f"{part[way]['p50_ms']:.1f} / {part[way]['p99_ms']:.1f}"
                    for way in ("direct", "gateway")
                ),
                f"{part['added_p50_ms']:.1f} / {part['added_p99_ms']:.1f}",
                "" if cpu is None else str(cpu),
            )
    during = result["memory"]["during"]
    if during is not None:
        said = (
            f"{during['service_rss_bytes'] / 1e6:.0f} MB the service, "
            f"{during['children_rss_bytes'] / 1e6:.0f} MB Chroma"
        )
        table.add_row(str(result["memory"]["slow_streams"]), "slow, RSS", "", "", said, "", "")
    return table
