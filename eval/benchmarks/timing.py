"""Percentiles of times, and the loop that takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.progress import Progress

from eval.metrics.ranking import percentile

WARM_UPS = 20
"""Calls of a timing loop that are not timed, at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of times in milliseconds, by nearest rank; None without samples."""

    samples: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Return the percentiles of times in seconds."""
    if not seconds:
        return Percentiles(0, None, None, None)
    p50, p99 = (round(percentile(seconds, share) * 1000, 3) for share in (0.5, 0.99))
    return Percentiles(len(seconds), p50, p99, round(max(seconds) * 1000, 3))


@dataclass(frozen=True, slots=True)
class TimingLoop:
    """Times an action; the loop ends after `samples` calls or `seconds`, whichever comes first."""

    samples: int
    seconds: float
    progress: Progress

    def __call__(self, label: str, action: Callable[[int], object]) -> Percentiles:
        """Return the times of `action(number)`, after some calls that are not timed."""
        warm_ups = min(WARM_UPS, self.samples)
        for number in range(warm_ups):
            action(number)
        task = self.progress.add_task(label, total=self.samples)
        times: list[float] = []
        deadline = time.perf_counter() + self.seconds
        for number in range(warm_ups, warm_ups + self.samples):
            began = time.perf_counter()
            action(number)
            ended = time.perf_counter()
            times.append(ended - began)
            self.progress.advance(task)
            if ended > deadline:
                break
        self.progress.remove_task(task)
        return percentiles(times)


def batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive parts of at most `size` values."""
    return (values[start : start + size] for start in range(0, len(values), size))
