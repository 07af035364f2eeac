"""Streams through the gateway and directly to the upstream, in alternating rounds.

Each stream has a conversation of its own; its client sends the whole history with every request. A
stream that fails, or is silent for half a minute, ends the measurement with an error.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

import httpx2

from eval.benchmarks import workloads
from eval.benchmarks.gateway.measurements import (
    SlowStreamsMeasurement,
    StreamsMeasurement,
    added_latency,
)
from eval.benchmarks.gateway.plan import ROUNDS, GatewayPlan
from eval.benchmarks.resources import MemoryUse
from eval.errors import MeasurementError

OnStream = Callable[[], None]
"""Called for each stream that was opened."""

CHUNKS = 20
"""About the number of chunks of an answer that contain words."""

_SLOW_PACE_MS = 1_000
_TIMEOUT_SECONDS = 30.0


class StreamTimes(NamedTuple):
    """Seconds from the request to the first byte of the body, and to its end."""

    first_byte: float
    whole: float


@dataclass(frozen=True, slots=True)
class Ways:
    """The base URLs of the upstream itself and of the gateway in front of it."""

    direct: str
    gateway: str


async def measure_streams(
    plan: GatewayPlan,
    ways: Ways,
    cpu_seconds: Callable[[], float | None],
    on_stream: OnStream,
) -> list[StreamsMeasurement]:
    """Return the latency for each number of streams."""
    texts = workloads.made_texts(random.Random(plan.seed))
    numbers = itertools.count(1)
    measurements = []
    async with _client() as client:
        for streams in plan.streams:
            conversations = [
                _StreamedConversation(next(numbers), plan, texts, on_stream) for _ in range(streams)
            ]
            each = plan.each(streams)
            measurements.append(await _measure(client, conversations, ways, each, cpu_seconds))
    return measurements


async def _measure(
    client: httpx2.AsyncClient,
    conversations: list[_StreamedConversation],
    ways: Ways,
    each: int,
    cpu_seconds: Callable[[], float | None],
) -> StreamsMeasurement:
    """Return the latency of these conversations; each asks `each` times a round."""
    direct: list[StreamTimes] = []
    gateway: list[StreamTimes] = []
    # Stores the history; the first prompt of a conversation is not what is measured.
    await asyncio.gather(*(talk.ask(client, ways.gateway) for talk in conversations))
    before = cpu_seconds()
    for _ in range(ROUNDS):
        direct += await _round(client, conversations, ways.direct, each)
        gateway += await _round(client, conversations, ways.gateway, each)
    return StreamsMeasurement(
        streams=len(conversations),
        service_cpu_ms_per_request=_ms_per_request(before, cpu_seconds(), len(gateway)),
        first_byte=added_latency(
            [times.first_byte for times in direct], [times.first_byte for times in gateway]
        ),
        whole=added_latency([times.whole for times in direct], [times.whole for times in gateway]),
    )


async def _round(
    client: httpx2.AsyncClient, conversations: list[_StreamedConversation], url: str, each: int
) -> list[StreamTimes]:
    """Return the times of all conversations that ask at once."""
    times = await asyncio.gather(*(talk.ask_often(client, url, each) for talk in conversations))
    return list(itertools.chain.from_iterable(times))


def _ms_per_request(before: float | None, after: float | None, requests: int) -> float | None:
    """Return milliseconds of processor time for each request; None if unknown."""
    if before is None or after is None:
        return None
    return round((after - before) / requests * 1000, 1)


class _StreamedConversation:
    """A conversation whose client sends all of it with every request."""

    def __init__(
        self, number: int, plan: GatewayPlan, texts: Iterator[str], on_stream: OnStream
    ) -> None:
        self._headers = {"x-conversation-id": f"talk-{number}"}
        self._model = f"paced-{plan.pace_ms}"
        self._pace_seconds = plan.pace_ms / 1000
        self._rng = random.Random(number)
        self._texts = texts
        self._on_stream = on_stream
        self._messages = [
            {"role": "assistant" if index % 2 else "user", "content": next(texts)}
            for index in range(plan.history // 2 * 2)
        ]

    async def ask_often(
        self, client: httpx2.AsyncClient, url: str, count: int
    ) -> list[StreamTimes]:
        """Ask several times, one after the other, beginning at a random moment of a stream."""
        await asyncio.sleep(self._rng.uniform(0, CHUNKS * self._pace_seconds))
        return [await self.ask(client, url) for _ in range(count)]

    async def ask(self, client: httpx2.AsyncClient, url: str) -> StreamTimes:
        """Ask once and add the exchange to the history."""
        text = next(self._texts)
        self._messages.append({"role": "user", "content": text})
        body = {"model": self._model, "messages": self._messages, "stream": True}
        began, first_byte = time.perf_counter(), 0.0
        request = client.stream("POST", f"{url}/chat/completions", json=body, headers=self._headers)
        async with request as response:
            async for _ in response.aiter_raw():
                first_byte = first_byte or time.perf_counter() - began
        _check(response, url)
        whole = time.perf_counter() - began
        # The stand-in for the upstream repeats the text.
        self._messages.append({"role": "assistant", "content": text})
        self._on_stream()
        return StreamTimes(first_byte, whole)


async def measure_slow_streams(
    plan: GatewayPlan,
    url: str,
    memory: Callable[[], MemoryUse | None],
    on_stream: OnStream,
) -> SlowStreamsMeasurement:
    """Return the memory of the service while many slow streams are open."""
    texts = workloads.made_texts(random.Random(plan.seed))
    before = memory()
    async with _client() as client, AsyncExitStack() as streams:
        opening = [
            _open_slow_stream(client, url, number, next(texts), on_stream)
            for number in range(plan.slow_streams)
        ]
        for response in await asyncio.gather(*opening):
            streams.push_async_callback(response.aclose)
        during = memory()
    return SlowStreamsMeasurement(plan.slow_streams, before, during)


async def _open_slow_stream(
    client: httpx2.AsyncClient, url: str, number: int, text: str, on_stream: OnStream
) -> httpx2.Response:
    """Return a slow stream whose first bytes have arrived."""
    body = {
        "model": f"paced-{_SLOW_PACE_MS}",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
    }
    headers = {"x-conversation-id": f"slow-{number}"}
    request = client.build_request("POST", f"{url}/chat/completions", json=body, headers=headers)
    response = await client.send(request, stream=True)
    _check(response, url)
    await anext(response.aiter_raw())
    on_stream()
    return response


def _check(response: httpx2.Response, url: str) -> None:
    """Raise MeasurementError for an error, and for an answer without memory."""
    if not response.is_success or "x-memory-error" in response.headers:
        raise MeasurementError(f"{url} answered {response.status_code} {dict(response.headers)}")


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits, trust_env=False)
