"""Values of requests to upstreams."""

from __future__ import annotations

from dataclasses import dataclass

HOP_HEADER = "x-memory-hop"
"""The header with the instances of this service that a request has passed, oldest first."""


@dataclass(frozen=True, slots=True)
class CallerKey:
    """The key for an upstream that came with a request, as a whole Authorization header.

    With `replaces_ours` the service's own keys are never used, even if the caller sent none.
    """

    authorization: str | None = None
    replaces_ours: bool = False


NO_CALLER_KEY = CallerKey()
"""No key of a caller: the service's own key is used, if it has one."""
