"""How often a failed change of the index is tried, and how long the indexer pauses after a failure.

tenacity repeats one call; here each attempt is an iteration of the queue's loop and its count is
kept in the log, so that it survives a restart. Only the numbers are decided here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of attempts and pauses; all times are in seconds.

    A change that failed `max_attempts` times is parked: it waits until the next start, or for
    `parked_seconds`, so that it does not hold up the others. While the whole index is down the
    pauses double from `pause_seconds` to `longest_pause_seconds`.
    """

    max_attempts: int = 5
    parked_seconds: float = 600.0
    pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0

    def parks(self, attempts: int) -> bool:
        """Return whether a change is parked when it fails after `attempts` failures."""
        return attempts + 1 >= self.max_attempts

    def longer(self, pause: float) -> float:
        """Return the pause that follows a pause, twice as long."""
        return min(2 * pause, self.longest_pause_seconds)
