"""The table of a result: a row for each measure, a column for each size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table

from eval.benchmarks.resources import MemoryUse
from eval.benchmarks.speed.measurements import (
    ManyConversationsMeasurement,
    OneConversationMeasurement,
    SizeMeasurement,
)
from eval.benchmarks.speed.plan import PAGE
from eval.benchmarks.timing import Percentiles

_ABSENT = "-"


class SpeedRow(NamedTuple):
    """A row: its label, and its cell of a size."""

    label: str
    cell: Callable[[SizeMeasurement], str]


def table(sizes: Sequence[SizeMeasurement]) -> Table:
    """Return the numbers as a table."""
    shown = Table("measure", title="Speed")
    for size in sizes:
        shown.add_column(f"{size.turns:,} turns", justify="right")
    for label, cell in ROWS:
        shown.add_row(label, *(cell(size) for size in sizes))
    return shown


def _one_conversation(label: str, cell: Callable[[OneConversationMeasurement], str]) -> SpeedRow:
    """Return a row of the measurements of one conversation."""
    return SpeedRow(label, lambda size: cell(size.one_conversation))


def _many(label: str, cell: Callable[[ManyConversationsMeasurement], str]) -> SpeedRow:
    """Return a row of the measurements of many conversations, where they were taken."""
    return SpeedRow(
        label,
        lambda size: _ABSENT if size.many_conversations is None else cell(size.many_conversations),
    )


def _p50(times: Percentiles) -> str:
    return _decimal(times.p50_ms)


def _p50_p99(times: Percentiles) -> str:
    return f"{_decimal(times.p50_ms)} / {_decimal(times.p99_ms)}"


def _decimal(number: float | None) -> str:
    return _ABSENT if number is None else f"{number:,.2f}"


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}"


def _ratio(number: float | None) -> str:
    return _ABSENT if number is None else f"{number:,.4g}"


def _megabytes(number: int) -> str:
    return f"{number / 1_000_000:,.1f}"


def _highest(memory: MemoryUse | None) -> str:
    if memory is None:
        return _ABSENT
    return f"{_megabytes(memory.highest_rss_bytes)} / {_megabytes(memory.of_the_service_bytes)}"


ROWS: tuple[SpeedRow, ...] = (
    SpeedRow("bare SQLite: insert, p50 / p99 ms", lambda size: _p50_p99(size.baseline.insert)),
    SpeedRow("bare SQLite: bulk, turns/s", lambda size: _rate(size.baseline.bulk_turns_per_s)),
    SpeedRow("fsync of 4 kB, p50 ms", lambda size: _p50(size.baseline.fsync_4kb)),
    _one_conversation(
        "start to ready, empty, s",
        lambda measured: _decimal(measured.start.empty.median_seconds),
    ),
    _one_conversation(
        "start to ready, stored, s",
        lambda measured: _decimal(measured.start.stored.median_seconds),
    ),
    _one_conversation(
        "a request that does nothing, p50 ms", lambda measured: _p50(measured.nothing)
    ),
    _one_conversation(
        "bulk stored, turns/s", lambda measured: _rate(measured.bulk.stored_turns_per_s)
    ),
    _one_conversation(
        "bulk searchable, turns/s",
        lambda measured: _rate(measured.bulk.searchable_turns_per_s),
    ),
    _one_conversation(
        "append alone, p50 / p99 ms", lambda measured: _p50_p99(measured.append.alone)
    ),
    _one_conversation(
        "append with writers, p50 / p99 ms",
        lambda measured: _p50_p99(measured.append.writers),
    ),
    _one_conversation(
        "append with writers, turns/s",
        lambda measured: _rate(measured.append.writers.turns_per_s),
    ),
    _one_conversation(f"list {PAGE}, p50 / p99 ms", lambda measured: _p50_p99(measured.list)),
    _one_conversation("search, p50 / p99 ms", lambda measured: _p50_p99(measured.search)),
    _one_conversation("context, p50 / p99 ms", lambda measured: _p50_p99(measured.context)),
    _one_conversation(
        "append while indexing, p50 / p99 ms",
        lambda measured: _p50_p99(measured.while_indexing.append),
    ),
    _one_conversation(
        "search while indexing, p50 / p99 ms",
        lambda measured: _p50_p99(measured.while_indexing.search),
    ),
    _one_conversation(
        "context with a bulk writer, p50 / p99 ms",
        lambda measured: _p50_p99(measured.beside_a_writer.context),
    ),
    _one_conversation(
        "context, 4 clients, p50 / p99 ms",
        lambda measured: _p50_p99(measured.clients["4"].context),
    ),
    _one_conversation(
        "context, 16 clients, p50 / p99 ms",
        lambda measured: _p50_p99(measured.clients["16"].context),
    ),
    _one_conversation(
        "memory of all processes / of the service, highest, MB",
        lambda measured: _highest(measured.memory),
    ),
    _one_conversation(
        "disk: turn log / Chroma, MB",
        lambda measured: (
            f"{_megabytes(measured.disk_bytes.turn_log)} / {_megabytes(measured.disk_bytes.chroma)}"
        ),
    ),
    _many("many: bulk stored, turns/s", lambda many: _rate(many.bulk.stored_turns_per_s)),
    _many("many: bulk searchable, turns/s", lambda many: _rate(many.bulk.searchable_turns_per_s)),
    _many("many: search, p50 / p99 ms", lambda many: _p50_p99(many.search)),
    _many("many: context, p50 / p99 ms", lambda many: _p50_p99(many.context)),
    _many(
        "many: context with a bulk writer, p50 / p99 ms",
        lambda many: _p50_p99(many.beside_a_writer.context),
    ),
    _many(
        "many: context, 16 clients, p50 / p99 ms",
        lambda many: _p50_p99(many.clients["16"].context),
    ),
    SpeedRow(
        "numpy: one conversation of 500 / all, p50 ms",
        lambda size: f"{_p50(size.vectors.numpy_conversation)} / {_p50(size.vectors.numpy_all)}",
    ),
    SpeedRow(
        "Chroma alone: 'where' of 500 / no filter, p50 ms",
        lambda size: f"{_p50(size.vectors.chroma_where)} / {_p50(size.vectors.chroma_all)}",
    ),
    SpeedRow(
        "many: search / Chroma with 'where', p50",
        lambda size: _ratio(size.ratios.search_many_to_chroma_where_p50),
    ),
    SpeedRow(
        "append alone / SQLite insert, p50", lambda size: _ratio(size.ratios.append_alone_p50)
    ),
    SpeedRow(
        "bulk stored / SQLite bulk, turns/s",
        lambda size: _ratio(size.ratios.bulk_stored_turns_per_s),
    ),
)
