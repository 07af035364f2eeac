"""The plan of the benchmark of the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROUNDS = 4
"""Rounds in which direct requests and requests through the gateway alternate."""

MOST_EACH = 48
"""Most requests of one stream each way: each takes a second, so few streams would take long."""


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """What is measured.

    `streams` are numbers of streams at once; `requests` are those of each way and number.
    `history` is the number of turns that each conversation has before. `pace_ms` is the time
    between two chunks of the upstream.
    """

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
        """The number of streams that are opened."""
        requests = sum(number * (1 + 2 * ROUNDS * self.each(number)) for number in self.streams)
        return requests + self.slow_streams
