"""`python -m eval speed`: how fast the service is, over HTTP on loopback, beside bare parts.

The bare parts, measured in the same run: SQLite for what is stored, numpy and Chroma for vectors.

The service runs as its command does, in a process and a folder of its own, without keys. Requests
go through httpx2 with connections kept alive, so the official client's own overhead is not in
the numbers; httpx2's is, and the time of a request that does nothing is reported beside them.
TMPDIR chooses the disk that is measured.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from eval.benchmarks import vector_baseline, workloads
from eval.benchmarks.serving import TOKEN_BUDGET, MeasurementError, Server, disk_use, serving
from eval.runs import provenance
from memory_service.commands.terminal import harmless, stderr, stdout
from memory_service.core.settings import load_settings

BATCH = 1_000
SMALL_CONVERSATION = 500
"""Turns of each conversation where the turns are spread over many."""
PAGE = 100
WARM_UPS = 20
CLIENTS = (4, 16)
WRITER_BATCH = 100
"""Turns of each request of the bulk writer that others are measured beside."""

_START_SECONDS = 60.0
_INDEX_SECONDS = 3_600.0
_POLL_SECONDS = 0.05
_BASELINE_ROWS = 20_000
_EXTRA_TURNS = 5_000
_LOG_TAIL = 40
_PACKAGES = ("chromadb", "sqlalchemy", "fastapi", "uvicorn", "httpx2", "numpy", "tokenizers")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured and for how long; a loop ends at `samples` or `seconds`, what comes first.

    `starts` is how often the service is started for each start time.
    """

    turns: Sequence[int]
    writers: int
    samples: int
    seconds: float
    starts: int
    seed: int
    docs: Sequence[str]


def speed(
    turns: Annotated[
        list[int] | None, typer.Option(min=1, help="Turns stored; may be repeated.")
    ] = None,
    writers: Annotated[int, typer.Option(min=1, help="Threads that append at once.")] = 16,
    samples: Annotated[int, typer.Option(min=1, help="Requests of a timing loop.")] = 500,
    seconds: Annotated[float, typer.Option(help="Longest time of a timing loop.")] = 30.0,
    starts: Annotated[int, typer.Option(min=1, help="Starts for each start time.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the texts and queries.")] = 0,
    docs: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="JSON lines with a `text`, instead of made texts."
        ),
    ] = None,
    json_out: Annotated[Path | None, typer.Option(help="File for all numbers, as JSON.")] = None,
) -> None:
    """Measure start, append, list, search and context over HTTP, beside bare SQLite and Chroma."""
    sizes = turns or [1_000, 100_000]
    plan = Plan(sizes, writers, samples, seconds, starts, seed, [str(path) for path in docs or ()])
    result: Json = {"provenance": about(plan), "sizes": []}
    with _progress() as progress, tempfile.TemporaryDirectory(prefix="speed-") as folder:
        for size in sizes:
            run = _Run(plan, size, Path(folder), progress)
            try:
                result["sizes"].append(run.measure())
            except (MeasurementError, httpx2.HTTPError, OSError) as error:
                progress.stop()
                _show_failure(error, run.log)
                raise typer.Exit(1) from error
    if json_out is not None:
        json_out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    stdout().print(table(result))


def about(plan: Plan) -> Json:
    """Return what the numbers were taken on: code, machine, packages, settings."""
    settings = load_settings().model_dump(mode="json", exclude={"data_dir", "tiktoken_cache_dir"})
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.git("rev-parse", "HEAD"),
        "dirty": None
        if (changed := provenance.git("status", "--porcelain")) is None
        else bool(changed),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "packages": {name: provenance.installed_version(name) for name in _PACKAGES},
        "client": "httpx2 with keep-alive, from one process on the same machine",
        "plan": asdict(plan) | {"warm_ups": WARM_UPS, "batch": BATCH, "token_budget": TOKEN_BUDGET},
        "settings": settings,
    }


class _Run:
    """The measurements of one size."""

    def __init__(self, plan: Plan, size: int, folder: Path, progress: Progress) -> None:
        self._plan = plan
        self._size = size
        self._folder = folder / str(size)
        self._folder.mkdir()
        self._progress = progress
        self._rng = random.Random(plan.seed)
        self._texts = (
            workloads.document_texts([Path(path) for path in plan.docs], self._rng)
            if plan.docs
            else workloads.made_texts(self._rng)
        )
        self._stored: list[str] = []
        self.log = self._folder / "server.log"

    def measure(self) -> Json:
        """Return all numbers: the baseline, one large conversation, many small ones."""
        self._stored = list(itertools.islice(self._texts, self._size))
        characters = sum(map(len, self._stored)) / self._size
        found: Json = {
            "turns": self._size,
            "mean_characters": round(characters, 1),
            "baseline": self._baseline(),
            "vectors": vector_baseline.measure(
                self._stored,
                [workloads.query(self._stored, self._rng) for _ in range(self._plan.samples)],
                min(SMALL_CONVERSATION, self._size),
                self._folder / "vectors",
                self._loop,
            ),
            "one_conversation": self._one_conversation(),
        }
        if self._size >= 2 * SMALL_CONVERSATION:
            found["many_conversations"] = self._many_conversations()
        found["ratios"] = _ratios(found)
        return found

    def _baseline(self) -> Json:
        rows = self._stored[:_BASELINE_ROWS]
        database = sqlite3.connect(self._folder / "baseline.sqlite3", isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("CREATE TABLE turns (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            single = self._loop(
                "bare SQLite: one row, one commit",
                lambda n: database.execute(
                    "INSERT INTO turns (text) VALUES (?)", (rows[n % len(rows)],)
                ),
            )
            began = time.perf_counter()
            for some in _batches(rows, BATCH):
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT INTO turns (text) VALUES (?)", [(one,) for one in some]
                )
                database.execute("COMMIT")
            bulk = len(rows) / (time.perf_counter() - began)
        finally:
            database.close()
        return {
            "insert": single,
            "bulk_rows": len(rows),
            "bulk_turns_per_s": round(bulk, 1),
            "fsync_4kb": self._fsync(),
        }

    def _fsync(self) -> Json:
        with (self._folder / "fsync").open("wb", buffering=0) as file:

            def flush(_number: int) -> None:
                file.write(b"x" * 4096)
                os.fsync(file.fileno())

            return self._loop("fsync of 4 kB", flush)

    def _one_conversation(self) -> Json:
        folder = self._folder / "one"
        # An empty start is one of a folder that is not there yet.
        more = self._plan.starts - 1
        empty = [self._start(self._folder / f"start-{number}") for number in range(more)]
        with self._serving(folder) as server:
            empty.append(server.start_seconds)
            found: Json = {"bulk": self._bulk(server, {"one": self._stored})}
        stored = [self._start(folder) for _ in range(more)]
        with self._serving(folder) as server:
            stored.append(server.start_seconds)
            found["start"] = {"empty": _seconds(empty), "stored": _seconds(stored)}
            found["memory_after_start"] = server.memory()
            found["nothing"] = self._loop("a request that does nothing", server.get("/healthz"))
            found["append"] = {
                "alone": self._loop("append one turn, alone", self._append(server, "one")),
                "writers": self._with_writers(server),
            }
            self._wait_for_index(server)
            pages = {"limit": str(PAGE), "order": "desc"}
            found["list"] = self._loop(
                f"list {PAGE} items", server.get("/v1/conversations/one/items", pages)
            )
            found |= self._recall(server, ["one"])
            found["while_indexing"] = self._while_indexing(server)
            found["memory"] = server.memory()
            found["disk_bytes"] = disk_use(folder)
        return found

    def _many_conversations(self) -> Json:
        ids = [f"many-{number}" for number in range(self._size // SMALL_CONVERSATION)]
        folder = self._folder / "many"
        with self._serving(folder) as server:
            texts = dict(zip(ids, _batches(self._stored, SMALL_CONVERSATION), strict=False))
            found: Json = {"conversations": len(ids), "bulk": self._bulk(server, texts)}
            found |= self._recall(server, ids)
            found["memory"] = server.memory()
            found["disk_bytes"] = disk_use(folder)
        return found

    def _bulk(self, server: Server, by_conversation: Mapping[str, Sequence[str]]) -> Json:
        total = sum(map(len, by_conversation.values()))
        for conversation in by_conversation:
            server.post("/v1/conversations", {"id": conversation})
        task = self._progress.add_task("append in bulk", total=total)
        began = time.perf_counter()
        for conversation, texts in by_conversation.items():
            for some in _batches(texts, BATCH):
                server.append(conversation, some)
                self._progress.advance(task, len(some))
        stored = time.perf_counter() - began
        self._progress.remove_task(task)
        self._wait_for_index(server)
        searchable = time.perf_counter() - began
        return {
            "turns": total,
            "batch": min(BATCH, max(map(len, by_conversation.values()))),
            "stored_turns_per_s": round(total / stored, 1),
            "searchable_turns_per_s": round(total / searchable, 1),
        }

    def _append(self, server: Server, conversation: str) -> Callable[[int], object]:
        return lambda _number: server.append(conversation, [next(self._texts)])

    def _with_writers(self, server: Server) -> Json:
        """Append from several threads, each with a conversation and a connection of its own."""
        each = max(1, self._plan.samples // self._plan.writers)
        texts = [list(itertools.islice(self._texts, each + 1)) for _ in range(self._plan.writers)]
        stop = threading.Event()
        barrier = threading.Barrier(self._plan.writers + 1)

        def write(number: int) -> list[float]:
            conversation, found = f"writer-{number}", []
            with server.another() as mine:
                mine.post("/v1/conversations", {"id": conversation})
                mine.append(conversation, texts[number][:1])
                barrier.wait()
                deadline = time.perf_counter() + self._plan.seconds
                for text in texts[number][1:]:
                    if stop.is_set() or time.perf_counter() > deadline:
                        break
                    began = time.perf_counter()
                    mine.append(conversation, [text])
                    found.append(time.perf_counter() - began)
            return found

        task = self._progress.add_task(f"append, {self._plan.writers} writers", total=None)
        with ThreadPoolExecutor(self._plan.writers) as threads:
            try:
                running = [threads.submit(write, number) for number in range(self._plan.writers)]
                barrier.wait(_START_SECONDS)
                began = time.perf_counter()
                times = [one for future in running for one in future.result()]
                elapsed = time.perf_counter() - began
            finally:
                stop.set()
                barrier.abort()
        self._progress.remove_task(task)
        return {
            **summary(times),
            "writers": self._plan.writers,
            "turns_per_s": round(len(times) / elapsed, 1),
        }

    def _recall(self, server: Server, conversations: Sequence[str]) -> Json:
        """Measure search and context in conversations that are drawn at random."""
        queries = [workloads.query(self._stored, self._rng) for _ in range(WARM_UPS)]
        queries += [workloads.query(self._stored, self._rng) for _ in range(self._plan.samples)]
        where = [self._rng.choice(conversations) for _ in queries]
        first = server.search(where[0], queries[0]).json()
        if not first["data"] or "degraded" in first:
            raise MeasurementError(f"a search found nothing, or not with all its means: {first}")
        counter = server.context(where[0], queries[0]).json()["tokens"]["counter"]

        def search(connection: Server, number: int) -> object:
            return connection.search(where[number], queries[number])

        def context(connection: Server, number: int) -> object:
            return connection.context(where[number], queries[number])

        found: Json = {
            "search": self._loop("search", lambda n: search(server, n)),
            "context": {
                **self._loop("build a context", lambda n: context(server, n)),
                "counter": counter,
            },
        }
        found["clients"] = {
            str(clients): {
                "search": self._from_clients(f"search, {clients} clients", server, clients, search),
                "context": self._from_clients(
                    f"build a context, {clients} clients", server, clients, context
                ),
            }
            for clients in CLIENTS
        }
        with self._bulk_writer(server) as written:
            found["beside_a_writer"] = {
                "search": self._loop("search, beside a writer", lambda n: search(server, n)),
                "context": self._loop(
                    "build a context, beside a writer", lambda n: context(server, n)
                ),
            }
        found["beside_a_writer"]["turns_written"] = sum(written)
        self._wait_for_index(server)
        return found

    def _from_clients(
        self, label: str, server: Server, clients: int, action: Callable[[Server, int], object]
    ) -> Json:
        """Return the times of requests that several connections make at once."""
        numbers = iter(range(WARM_UPS, WARM_UPS + self._plan.samples))
        task = self._progress.add_task(label, total=None)

        def ask(_client: int) -> list[float]:
            times = []
            with server.another() as mine:
                deadline = time.perf_counter() + self._plan.seconds
                for number in numbers:
                    began = time.perf_counter()
                    action(mine, number)
                    times.append(time.perf_counter() - began)
                    if began > deadline:
                        break
            return times

        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            times = [one for some in threads.map(ask, range(clients)) for one in some]
        elapsed = time.perf_counter() - began
        self._progress.remove_task(task)
        return {**summary(times), "per_s": round(len(times) / elapsed, 1)}

    @contextmanager
    def _bulk_writer(self, server: Server) -> Iterator[list[int]]:
        """Append to another conversation without a pause; the list says how many turns."""
        texts = list(itertools.islice(self._texts, BATCH))
        stop, written = threading.Event(), list[int]()

        def write() -> None:
            with server.another() as mine:
                while not stop.is_set():
                    for some in _batches(texts, WRITER_BATCH):
                        mine.append("beside", some)
                        written.append(len(some))
                        if stop.is_set():
                            return

        server.post("/v1/conversations", {"id": "beside"})
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(write)
            try:
                yield written
            finally:
                stop.set()
            writing.result()

    def _while_indexing(self, server: Server) -> Json:
        """Measure appends and searches while the indexer works off a backlog."""
        more = list(itertools.islice(self._texts, min(self._size, _EXTRA_TURNS)))
        for some in _batches(more, BATCH):
            server.append("one", some)
        appends: list[float] = []
        searches: list[float] = []
        deadline = time.perf_counter() + self._plan.seconds
        while server.lag > self._plan.writers and time.perf_counter() < deadline:
            text, asked = next(self._texts), workloads.query(self._stored, self._rng)
            began = time.perf_counter()
            server.append("one", [text])
            between = time.perf_counter()
            server.search("one", asked)
            searches.append(time.perf_counter() - between)
            appends.append(between - began)
        self._wait_for_index(server)
        return {"backlog": len(more), "append": summary(appends), "search": summary(searches)}

    def _start(self, folder: Path) -> float:
        """Return the seconds from the start of the process until it is ready."""
        with self._serving(folder) as server:
            return server.start_seconds

    def _wait_for_index(self, server: Server) -> None:
        deadline = time.perf_counter() + _INDEX_SECONDS
        waiting = server.read_lag()
        task = self._progress.add_task("wait for the index", total=waiting)
        while (lag := server.read_lag()) > 0:
            if time.perf_counter() > deadline:
                raise MeasurementError(f"the index is {lag} passages behind and does not catch up")
            self._progress.update(task, completed=waiting - lag)
            time.sleep(_POLL_SECONDS)
        self._progress.remove_task(task)

    @contextmanager
    def _serving(self, folder: Path) -> Iterator[Server]:
        with serving(folder, self.log) as server:
            yield server

    def _loop(self, label: str, action: Callable[[int], object]) -> Json:
        """Return the times of `action(number)`, first called some times without a clock."""
        warm_ups = min(WARM_UPS, self._plan.samples)
        for number in range(warm_ups):
            action(number)
        task = self._progress.add_task(label, total=self._plan.samples)
        times: list[float] = []
        deadline = time.perf_counter() + self._plan.seconds
        for number in range(warm_ups, warm_ups + self._plan.samples):
            began = time.perf_counter()
            action(number)
            ended = time.perf_counter()
            times.append(ended - began)
            self._progress.advance(task)
            if ended > deadline:
                break
        self._progress.remove_task(task)
        return summary(times)


def _seconds(times: Sequence[float]) -> Json:
    return {
        "seconds": [round(one, 3) for one in times],
        "median_seconds": round(statistics.median(times), 3),
    }


def summary(times: Sequence[float]) -> Json:
    """Return percentiles of times in seconds, as milliseconds (nearest rank)."""
    if not times:
        return {"samples": 0, "p50_ms": None, "p99_ms": None, "max_ms": None}
    ordered = sorted(times)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return {
        "samples": len(ordered),
        "p50_ms": round(p50 * 1000, 3),
        "p99_ms": round(p99 * 1000, 3),
        "max_ms": round(ordered[-1] * 1000, 3),
    }


_ROWS = (
    ("bare SQLite: insert, p50 / p99 ms", "baseline.insert.p50_ms", "baseline.insert.p99_ms"),
    ("bare SQLite: bulk, turns/s", "baseline.bulk_turns_per_s"),
    ("fsync of 4 kB, p50 ms", "baseline.fsync_4kb.p50_ms"),
    ("start to ready, empty, s", "one_conversation.start.empty.median_seconds"),
    ("start to ready, stored, s", "one_conversation.start.stored.median_seconds"),
    ("a request that does nothing, p50 ms", "one_conversation.nothing.p50_ms"),
    ("bulk stored, turns/s", "one_conversation.bulk.stored_turns_per_s"),
    ("bulk searchable, turns/s", "one_conversation.bulk.searchable_turns_per_s"),
    (
        "append alone, p50 / p99 ms",
        "one_conversation.append.alone.p50_ms",
        "one_conversation.append.alone.p99_ms",
    ),
    (
        "append with writers, p50 / p99 ms",
        "one_conversation.append.writers.p50_ms",
        "one_conversation.append.writers.p99_ms",
    ),
    ("append with writers, turns/s", "one_conversation.append.writers.turns_per_s"),
    (f"list {PAGE}, p50 / p99 ms", "one_conversation.list.p50_ms", "one_conversation.list.p99_ms"),
    ("search, p50 / p99 ms", "one_conversation.search.p50_ms", "one_conversation.search.p99_ms"),
    ("context, p50 / p99 ms", "one_conversation.context.p50_ms", "one_conversation.context.p99_ms"),
    (
        "append while indexing, p50 / p99 ms",
        "one_conversation.while_indexing.append.p50_ms",
        "one_conversation.while_indexing.append.p99_ms",
    ),
    (
        "search while indexing, p50 / p99 ms",
        "one_conversation.while_indexing.search.p50_ms",
        "one_conversation.while_indexing.search.p99_ms",
    ),
    (
        "context beside a bulk writer, p50 / p99 ms",
        "one_conversation.beside_a_writer.context.p50_ms",
        "one_conversation.beside_a_writer.context.p99_ms",
    ),
    (
        "context, 4 clients, p50 / p99 ms",
        "one_conversation.clients.4.context.p50_ms",
        "one_conversation.clients.4.context.p99_ms",
    ),
    (
        "context, 16 clients, p50 / p99 ms",
        "one_conversation.clients.16.context.p50_ms",
        "one_conversation.clients.16.context.p99_ms",
    ),
    (
        "memory of all processes / of the service, highest, MB",
        "one_conversation.memory.highest_rss_bytes",
        "one_conversation.memory.of_the_service_bytes",
    ),
    (
        "disk: turn log / Chroma, MB",
        "one_conversation.disk_bytes.turn_log",
        "one_conversation.disk_bytes.chroma",
    ),
    ("many: bulk stored, turns/s", "many_conversations.bulk.stored_turns_per_s"),
    ("many: bulk searchable, turns/s", "many_conversations.bulk.searchable_turns_per_s"),
    (
        "many: search, p50 / p99 ms",
        "many_conversations.search.p50_ms",
        "many_conversations.search.p99_ms",
    ),
    (
        "many: context, p50 / p99 ms",
        "many_conversations.context.p50_ms",
        "many_conversations.context.p99_ms",
    ),
    (
        "many: context beside a bulk writer, p50 / p99 ms",
        "many_conversations.beside_a_writer.context.p50_ms",
        "many_conversations.beside_a_writer.context.p99_ms",
    ),
    (
        "many: context, 16 clients, p50 / p99 ms",
        "many_conversations.clients.16.context.p50_ms",
        "many_conversations.clients.16.context.p99_ms",
    ),
    (
        "numpy: one conversation of 500 / all, p50 ms",
        "vectors.numpy_conversation.p50_ms",
        "vectors.numpy_all.p50_ms",
    ),
    (
        "Chroma alone: 'where' of 500 / no filter, p50 ms",
        "vectors.chroma_where.p50_ms",
        "vectors.chroma_all.p50_ms",
    ),
    ("many: search / Chroma with 'where', p50", "ratios.search_many_to_chroma_where_p50"),
    ("append alone / SQLite insert, p50", "ratios.append_alone_p50"),
    ("bulk stored / SQLite bulk, turns/s", "ratios.bulk_stored_turns_per_s"),
)


def table(result: Json) -> Table:
    """Return the numbers as a table, one column a size."""
    shown = Table("measure", title="Speed")
    for size in result["sizes"]:
        shown.add_column(f"{size['turns']:,} turns", justify="right")
    for label, *paths in _ROWS:
        cells = [[_number(_at(size, path), path) for path in paths] for size in result["sizes"]]
        shown.add_row(label, *(" / ".join(cell) for cell in cells))
    return shown


def _ratios(found: Json) -> Json:
    """Return the service's numbers over those of bare SQLite."""
    one, baseline = found["one_conversation"], found["baseline"]
    ratios = {
        "append_alone_p50": round(
            one["append"]["alone"]["p50_ms"] / baseline["insert"]["p50_ms"], 2
        ),
        "append_alone_p99": round(
            one["append"]["alone"]["p99_ms"] / baseline["insert"]["p99_ms"], 2
        ),
        "bulk_stored_turns_per_s": round(
            one["bulk"]["stored_turns_per_s"] / baseline["bulk_turns_per_s"], 4
        ),
    }
    if "many_conversations" in found:
        ratios["search_many_to_chroma_where_p50"] = round(
            found["many_conversations"]["search"]["p50_ms"]
            / found["vectors"]["chroma_where"]["p50_ms"],
            2,
        )
    return ratios


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _number(value: float | None, path: str) -> str:
    if value is None:
        return "-"
    if "_bytes" in path:
        return f"{value / 1_000_000:,.1f}"
    if path.startswith("ratios"):
        return f"{value:,.4g}"
    return f"{value:,.0f}" if path.endswith("turns_per_s") else f"{value:,.2f}"


def _batches(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _show_failure(error: Exception, log: Path) -> None:
    console = stderr()
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        console.print(harmless("\n".join(["The service's last words:", *lines[-_LOG_TAIL:]])))
    console.print(harmless(f"speed: {error}", style="red"))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=stderr(), transient=True)
