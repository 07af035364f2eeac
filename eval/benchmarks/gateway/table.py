"""The table of a result: two rows for each number of streams, and the memory under slow ones."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from eval.benchmarks.gateway.measurements import SlowStreamsMeasurement, StreamsMeasurement
from eval.benchmarks.timing import Percentiles

FEW_SAMPLES = 100
"""With fewer samples the slowest one is reported as p99."""

_CAPTION = (
    f"With fewer than {FEW_SAMPLES} samples, p99 is the slowest. "
    "CPU: of the service, for one request through it."
)


def table(streams: Sequence[StreamsMeasurement], slow: SlowStreamsMeasurement) -> Table:
    """Return the numbers as a table."""
    shown = Table(
        "streams",
        "what",
        "samples",
        "direct p50 / p99 ms",
        "gateway p50 / p99 ms",
        "added p50 / p99 ms",
        "CPU ms",
        caption=_CAPTION,
    )
    for measurement in streams:
        cpu = measurement.service_cpu_ms_per_request
        parts = {"first byte": measurement.first_byte, "whole": measurement.whole}
        for name, added in parts.items():
            shown.add_row(
                str(measurement.streams),
                name,
                f"{added.gateway.samples} each",
                _times(added.direct),
                _times(added.gateway),
                f"{added.added_p50_ms:.1f} / {added.added_p99_ms:.1f}",
                "" if cpu is None else str(cpu),
            )
    if slow.during is not None:
        memory = (
            f"{slow.during.service_rss_bytes / 1e6:.0f} MB the service, "
            f"{slow.during.children_rss_bytes / 1e6:.0f} MB Chroma"
        )
        shown.add_row(str(slow.slow_streams), "slow, RSS", "", "", memory, "", "")
    return shown


def _times(times: Percentiles) -> str:
    return f"{times.p50_ms:.1f} / {times.p99_ms:.1f}"
