"""What the benchmark of the gateway measures: field names are the keys of the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.benchmarks.resources import MemoryUse
from eval.benchmarks.timing import Percentiles, percentiles


@dataclass(frozen=True, slots=True)
class AddedLatency:
    """Times directly and through the gateway, and the differences of their percentiles."""

    direct: Percentiles
    gateway: Percentiles
    added_p50_ms: float
    added_p99_ms: float


@dataclass(frozen=True, slots=True)
class StreamsMeasurement:
    """The latency of a number of streams at once, until the first byte and until the end.

    `service_cpu_ms_per_request` is processor time, which other work on the machine does not change;
    None where unknown.
    """

    streams: int
    service_cpu_ms_per_request: float | None
    first_byte: AddedLatency
    whole: AddedLatency


@dataclass(frozen=True, slots=True)
class SlowStreamsMeasurement:
    """The memory of the service before and while many slow streams are open; None if unknown."""

    slow_streams: int
    before: MemoryUse | None
    during: MemoryUse | None


def added_latency(direct: Sequence[float], gateway: Sequence[float]) -> AddedLatency:
    """Return percentiles of times in seconds, of at least one request each way."""
    without, through = percentiles(direct), percentiles(gateway)
    return AddedLatency(
        without,
        through,
        _difference(through.p50_ms, without.p50_ms),
        _difference(through.p99_ms, without.p99_ms),
    )


def _difference(number: float | None, base: float | None) -> float:
    assert number is not None
    assert base is not None
    return round(number - base, 3)
