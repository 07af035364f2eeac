"""What is measured of the service: all turns in one conversation, and the turns in many."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from eval.benchmarks.measured_service import MeasuredService, serving
from eval.benchmarks.resources import disk_use
from eval.benchmarks.speed.concurrency import (
    Action,
    append_with_writers,
    ask_from_clients,
    bulk_writer,
)
from eval.benchmarks.speed.measurements import (
    AppendMeasurement,
    BesideWriterMeasurement,
    BulkMeasurement,
    ClientsMeasurement,
    ContextPercentiles,
    ManyConversationsMeasurement,
    OneConversationMeasurement,
    ReadsMeasurement,
    StartMeasurement,
    StartTimes,
    WhileIndexingMeasurement,
)
from eval.benchmarks.speed.plan import (
    BACKLOG_TURNS,
    BATCH,
    CLIENTS,
    PAGE,
    SMALL_CONVERSATION,
)
from eval.benchmarks.speed.workload import SpeedWorkload
from eval.benchmarks.timing import WARM_UPS, batches, percentiles
from eval.errors import MeasurementError


def one_conversation(workload: SpeedWorkload) -> OneConversationMeasurement:
    """Return the measurements of all turns in one conversation."""
    folder = workload.folder / "one"
    further_starts = range(workload.plan.starts - 1)
    # An empty start is one of a folder that does not exist yet.
    empty = [_start(workload, workload.folder / f"start-{number}") for number in further_starts]
    with serving(folder, workload.log) as service:
        empty.append(service.start_seconds)
        bulk = _append_in_bulk(workload, service, {"one": workload.stored})
    stored = [_start(workload, folder) for _ in further_starts]
    with serving(folder, workload.log) as service:
        stored.append(service.start_seconds)
        memory_after_start = service.memory()
        nothing = workload.loop("a request that does nothing", service.get("/healthz"))
        append = _append(workload, service)
        workload.wait_for_index(service)
        page = service.get("/v1/conversations/one/items", {"limit": str(PAGE), "order": "desc"})
        listing = workload.loop(f"list {PAGE} items", page)
        reads = _reads(workload, service, ["one"])
        return OneConversationMeasurement(
            bulk=bulk,
            start=StartMeasurement(_start_times(empty), _start_times(stored)),
            memory_after_start=memory_after_start,
            nothing=nothing,
            append=append,
            list=listing,
            search=reads.search,
            context=reads.context,
            clients=reads.clients,
            beside_a_writer=reads.beside_a_writer,
            while_indexing=_while_indexing(workload, service),
            memory=service.memory(),
            disk_bytes=disk_use(folder),
        )


def many_conversations(workload: SpeedWorkload) -> ManyConversationsMeasurement:
    """Return the measurements of the turns in many conversations."""
    number = len(workload.stored) // SMALL_CONVERSATION
    names = [f"many-{index}" for index in range(number)]
    texts = dict(zip(names, batches(workload.stored, SMALL_CONVERSATION), strict=False))
    folder = workload.folder / "many"
    with serving(folder, workload.log) as service:
        bulk = _append_in_bulk(workload, service, texts)
        reads = _reads(workload, service, names)
        return ManyConversationsMeasurement(
            conversations=number,
            bulk=bulk,
            search=reads.search,
            context=reads.context,
            clients=reads.clients,
            beside_a_writer=reads.beside_a_writer,
            memory=service.memory(),
            disk_bytes=disk_use(folder),
        )


def _start(workload: SpeedWorkload, folder: Path) -> float:
    """Return the seconds from the start of the process until it is ready."""
    with serving(folder, workload.log) as service:
        return service.start_seconds


def _start_times(seconds: Sequence[float]) -> StartTimes:
    return StartTimes([round(value, 3) for value in seconds], round(statistics.median(seconds), 3))


def _append_in_bulk(
    workload: SpeedWorkload, service: MeasuredService, texts: Mapping[str, Sequence[str]]
) -> BulkMeasurement:
    """Store texts by conversation, until the last one is searchable."""
    total = sum(map(len, texts.values()))
    for conversation in texts:
        service.post("/v1/conversations", {"id": conversation})
    task = workload.progress.add_task("append in bulk", total=total)
    began = time.perf_counter()
    for conversation, its_texts in texts.items():
        for batch in batches(its_texts, BATCH):
            service.append(conversation, batch)
            workload.progress.advance(task, len(batch))
    stored = time.perf_counter() - began
    workload.progress.remove_task(task)
    workload.wait_for_index(service)
    searchable = time.perf_counter() - began
    return BulkMeasurement(
        turns=total,
        batch=min(BATCH, max(map(len, texts.values()))),
        stored_turns_per_s=round(total / stored, 1),
        searchable_turns_per_s=round(total / searchable, 1),
    )


def _append(workload: SpeedWorkload, service: MeasuredService) -> AppendMeasurement:
    alone = workload.loop(
        "append one turn, alone", lambda _: service.append("one", workload.take(1))
    )
    return AppendMeasurement(alone, append_with_writers(workload, service))


def _reads(
    workload: SpeedWorkload, service: MeasuredService, conversations: Sequence[str]
) -> ReadsMeasurement:
    """Measure search and context in conversations that are drawn at random."""
    queries = [workload.query() for _ in range(WARM_UPS + workload.plan.samples)]
    where = [workload.rng.choice(conversations) for _ in queries]
    counter = _check_recall(service, where[0], queries[0])

    def search(connection: MeasuredService, number: int) -> object:
        return connection.search(where[number], queries[number])

    def context(connection: MeasuredService, number: int) -> object:
        return connection.context(where[number], queries[number])

    search_alone = workload.loop("search", lambda number: search(service, number))
    context_alone = workload.loop("build a context", lambda number: context(service, number))
    clients = {
        str(number): ClientsMeasurement(
            search=ask_from_clients(workload, service, "search", number, search),
            context=ask_from_clients(workload, service, "build a context", number, context),
        )
        for number in CLIENTS
    }
    return ReadsMeasurement(
        search=search_alone,
        context=ContextPercentiles(**asdict(context_alone), counter=counter),
        clients=clients,
        beside_a_writer=_beside_a_writer(workload, service, search, context),
    )


def _check_recall(service: MeasuredService, conversation: str, query: str) -> str:
    """Raise MeasurementError unless a search finds something; return the counter of tokens."""
    first = service.search(conversation, query).json()
    if not first["data"] or "degraded" in first:
        raise MeasurementError(f"a search found nothing, or was degraded: {first}")
    return str(service.context(conversation, query).json()["tokens"]["counter"])


def _beside_a_writer(
    workload: SpeedWorkload, service: MeasuredService, search: Action, context: Action
) -> BesideWriterMeasurement:
    with bulk_writer(workload, service) as written:
        search_times = workload.loop("search, with a bulk writer", lambda n: search(service, n))
        context_times = workload.loop(
            "build a context, with a bulk writer", lambda n: context(service, n)
        )
    workload.wait_for_index(service)
    return BesideWriterMeasurement(search_times, context_times, sum(written))


def _while_indexing(workload: SpeedWorkload, service: MeasuredService) -> WhileIndexingMeasurement:
    """Measure appends and searches while the index catches up with a backlog."""
    backlog = workload.take(min(len(workload.stored), BACKLOG_TURNS))
    for batch in batches(backlog, BATCH):
        service.append("one", batch)
    appends: list[float] = []
    searches: list[float] = []
    deadline = time.perf_counter() + workload.plan.seconds
    while service.lag > workload.plan.writers and time.perf_counter() < deadline:
        texts, query = workload.take(1), workload.query()
        began = time.perf_counter()
        service.append("one", texts)
        between = time.perf_counter()
        service.search("one", query)
        searches.append(time.perf_counter() - between)
        appends.append(between - began)
    workload.wait_for_index(service)
    return WhileIndexingMeasurement(len(backlog), percentiles(appends), percentiles(searches))
