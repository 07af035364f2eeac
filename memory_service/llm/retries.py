"""Retries of requests to a model server, shared by the chat model and the `openai` embedder."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_any,
    stop_when_event_set,
    wait_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from memory_service.core.errors import ChatModelDown, EmbedderDown

LONGEST_WAIT_SECONDS = 10.0
"""A server that asks for a longer wait counts as down: the caller has other work meanwhile."""

Pause = Callable[[float], None]
"""Waits so many seconds."""


class RequestedWait(wait_base):
    """The wait that the server asks for; without one 0.5 s, doubled after each failure."""

    _back_off = wait_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the wait before the next try, in seconds."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if (
            isinstance(error, ChatModelDown | EmbedderDown)
            and error.retry_after_seconds is not None
        ):
            return error.retry_after_seconds
        return self._back_off(retry_state)


class StopBeforeLongWait(stop_base):
    """The end of all tries when the server asks for a long wait."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Return whether the next wait is too long."""
        return retry_state.upcoming_sleep > LONGEST_WAIT_SECONDS


def retrying(
    failure: type[Exception], stop: stop_base, *, pause: Pause, closing: threading.Event
) -> Retrying:
    """Return the retries after a failure that may pass, until `stop` or `closing` ends them.

    The last failure is then raised.
    """
    return Retrying(
        retry=retry_if_exception_type(failure),
        wait=RequestedWait(),
        stop=stop_any(StopBeforeLongWait(), stop_when_event_set(closing), stop),
        sleep=pause,
        reraise=True,
    )
