"""When deleted data is erased from files: after a quiet moment, or after a longest wait."""

from __future__ import annotations

import time

QUIET_SECONDS = 1.0
"""An erasure waits until nothing was deleted for this time: many deletions then share one."""
LONGEST_WAIT_SECONDS = 30.0
REST_FACTOR = 20
"""An erasure is followed by a pause of this many times its own duration."""


class ErasureSchedule:
    """Decides when an erasure begins; it takes at most a twentieth of the time."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._first_seen = self._last_seen = 0.0
        self._rests_until = 0.0

    def is_due(self, newest_residue: int | None) -> bool:
        """Return whether to begin now, given the key of the newest residue if there is one."""
        now = time.monotonic()
        if self._newest is None:
            self._first_seen = now
        if newest_residue != self._newest:
            self._newest, self._last_seen = newest_residue, now
        if newest_residue is None or now < self._rests_until:
            return False
        is_quiet = now - self._last_seen >= QUIET_SECONDS
        return is_quiet or now - self._first_seen >= LONGEST_WAIT_SECONDS

    def erased(self) -> None:
        """Note that all residues seen so far are gone."""
        self._newest = None

    def ended(self, worked_seconds: float) -> None:
        """Note that an erasure ended, finished or not, after this much work."""
        self._rests_until = time.monotonic() + REST_FACTOR * worked_seconds
