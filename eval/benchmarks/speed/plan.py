"""The plan of the benchmark of speed: what is measured, how often, and its fixed sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.benchmarks.measured_service import TOKEN_BUDGET
from eval.benchmarks.timing import WARM_UPS
from eval.json_files import Json

BATCH = 1_000
"""Turns of a request that appends in bulk."""
SMALL_CONVERSATION = 500
"""Turns of each conversation where the turns are spread over many."""
PAGE = 100
"""Items of a list request."""
CLIENTS = (4, 16)
"""Numbers of clients that ask at once."""
WRITER_BATCH = 100
"""Turns of each request of the bulk writer that runs while other requests are measured."""
BASELINE_ROWS = 20_000
BACKLOG_TURNS = 5_000
"""Turns, at most, that the index still has to catch up with in `while_indexing`."""


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """What is measured and for how long.

    A timing loop ends after `samples` calls or `seconds`, whichever comes first. `starts` is how
    often the service is started for each start time. `docs` are files of texts; without them the
    texts are made.
    """

    turns: Sequence[int]
    writers: int
    samples: int
    seconds: float
    starts: int
    seed: int
    docs: Sequence[Path]

    def as_json(self) -> Json:
        """Return the plan with the fixed sizes."""
        sizes = {"warm_ups": WARM_UPS, "batch": BATCH, "token_budget": TOKEN_BUDGET}
        return asdict(self) | {"docs": [str(path) for path in self.docs]} | sizes
