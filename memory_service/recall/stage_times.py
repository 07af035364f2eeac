"""How long the stages of a recall take, for traces."""

from __future__ import annotations

import time


class StageTimes:
    """Measures how many milliseconds each stage takes."""

    def __init__(self) -> None:
        self._milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    @property
    def milliseconds(self) -> dict[str, float]:
        """The times of the stages that have ended."""
        return dict(self._milliseconds)

    def end(self, stage: str) -> None:
        """Record the time since the last stage ended as that of this stage."""
        now = time.perf_counter()
        self._milliseconds[stage] = round((now - self._last) * 1000, 3)
        self._last = now
