"""A lock that is handed to whoever has waited longest."""

from __future__ import annotations

from collections import deque
from threading import Lock


class FairLock:
    """As `threading.Lock` in a `with` statement, but in the order of asking.

    That one goes to whoever asks at the right moment: a thread that stores batch after batch held
    it 98 % of the time, and the indexer's turn came when everything was stored.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._taken = False
        self._queue: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._queue)

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = Lock()
            turn.acquire()
            self._queue.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._queue:
                # It stays taken: nobody comes between.
                self._queue.popleft().release()
            else:
                self._taken = False
