"""Requests from several connections at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain

from eval.benchmarks.measured_service import MeasuredService
from eval.benchmarks.speed.measurements import ClientsPercentiles, WritersPercentiles
from eval.benchmarks.speed.plan import BATCH, WRITER_BATCH
from eval.benchmarks.speed.workload import SpeedWorkload
from eval.benchmarks.timing import WARM_UPS, batches, percentiles

Action = Callable[[MeasuredService, int], object]
"""A request over a connection, by its number."""

_START_SECONDS = 60.0


def append_with_writers(workload: SpeedWorkload, service: MeasuredService) -> WritersPercentiles:
    """Append from several threads, each with a conversation and a connection of its own."""
    plan = workload.plan
    each = max(1, plan.samples // plan.writers)
    texts = [workload.take(each + 1) for _ in range(plan.writers)]
    stop = threading.Event()
    barrier = threading.Barrier(plan.writers + 1)

    def write(number: int) -> list[float]:
        times: list[float] = []
        conversation = f"writer-{number}"
        with service.another() as connection:
            connection.post("/v1/conversations", {"id": conversation})
            connection.append(conversation, texts[number][:1])
            barrier.wait()
            deadline = time.perf_counter() + plan.seconds
            for text in texts[number][1:]:
                if stop.is_set() or time.perf_counter() > deadline:
                    break
                began = time.perf_counter()
                connection.append(conversation, [text])
                times.append(time.perf_counter() - began)
        return times

    task = workload.progress.add_task(f"append, {plan.writers} writers", total=None)
    with ThreadPoolExecutor(plan.writers) as threads:
        try:
            running = [threads.submit(write, number) for number in range(plan.writers)]
            barrier.wait(_START_SECONDS)
            began = time.perf_counter()
            times = list(chain.from_iterable(future.result() for future in running))
            elapsed = time.perf_counter() - began
        finally:
            stop.set()
            barrier.abort()
    workload.progress.remove_task(task)
    rate = round(len(times) / elapsed, 1)
    return WritersPercentiles(**asdict(percentiles(times)), writers=plan.writers, turns_per_s=rate)


def ask_from_clients(
    workload: SpeedWorkload, service: MeasuredService, label: str, clients: int, action: Action
) -> ClientsPercentiles:
    """Return the times of requests that several connections make at once."""
    numbers = iter(range(WARM_UPS, WARM_UPS + workload.plan.samples))

    def ask(_client: int) -> list[float]:
        times = []
        with service.another() as connection:
            deadline = time.perf_counter() + workload.plan.seconds
            for number in numbers:
                began = time.perf_counter()
                action(connection, number)
                times.append(time.perf_counter() - began)
                if began > deadline:
                    break
        return times

    task = workload.progress.add_task(f"{label}, {clients} clients", total=None)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        times = list(chain.from_iterable(threads.map(ask, range(clients))))
    elapsed = time.perf_counter() - began
    workload.progress.remove_task(task)
    return ClientsPercentiles(**asdict(percentiles(times)), per_s=round(len(times) / elapsed, 1))


@contextmanager
def bulk_writer(workload: SpeedWorkload, service: MeasuredService) -> Iterator[list[int]]:
    """Append to another conversation without a pause; the list gets the size of each batch."""
    texts = workload.take(BATCH)
    stop, written = threading.Event(), list[int]()

    def write() -> None:
        with service.another() as connection:
            while not stop.is_set():
                for batch in batches(texts, WRITER_BATCH):
                    connection.append("beside", batch)
                    written.append(len(batch))
                    if stop.is_set():
                        return

    service.post("/v1/conversations", {"id": "beside"})
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            yield written
        finally:
            stop.set()
        writing.result()
