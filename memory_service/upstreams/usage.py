"""Notice from usage that an upstream has cut a prompt silently. Pure but for what it remembers.

Some servers drop the beginning of a prompt that is longer than their context window and answer the
rest. Then the tokens that they report stop growing. A low count alone proves nothing: our own count
may be too high, and some servers report only the tokens that were not cached.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from cachetools import LRUCache

from memory_service.upstreams.windows import ModelKey

MIN_TOKENS: Final = 1_000
"""Shorter prompts prove nothing."""

_WINDOW_STEP: Final = 1_024
"""Windows are set in multiples of this."""
_STEP_TOLERANCE: Final = 8
_LOW_RATIO: Final = 0.6
"""At a multiple of the step, fewer than so many of our tokens mean a cut."""
_PLATEAU_RATIO: Final = 0.75
"""Elsewhere, two prompts must show it, the second with fewer than so many of our tokens."""
_GROWTH: Final = 1.25
_PLATEAU: Final = 0.005
_MAX_MODELS: Final = 1_000


class PromptUsage(NamedTuple):
    """The tokens of a prompt: as we counted them, and as the upstream reports them."""

    counted: int
    used: int


class CutDetector:
    """Finds cut prompts, with the longest earlier prompt of each model. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._longest: LRUCache[ModelKey, PromptUsage] = LRUCache(_MAX_MODELS)

    def window_if_cut(self, key: ModelKey, usage: PromptUsage) -> int | None:
        """Return the context window that a prompt was cut to; None if it was not cut."""
        if min(usage) < MIN_TOKENS:
            return None
        with self._lock:
            longest = self._longest.get(key)
            if longest is None or usage.counted > longest.counted:
                self._longest[key] = usage
        ratio = usage.used / usage.counted
        nearest = round(usage.used / _WINDOW_STEP) * _WINDOW_STEP
        if ratio < _LOW_RATIO and abs(usage.used - nearest) <= _STEP_TOLERANCE:
            return nearest
        if longest is not None and ratio < _PLATEAU_RATIO and _has_stopped(longest, usage):
            return -(-usage.used // _WINDOW_STEP) * _WINDOW_STEP
        return None


def _has_stopped(before: PromptUsage, usage: PromptUsage) -> bool:
    """Return whether the reported tokens stayed the same though the prompt grew."""
    has_grown = usage.counted >= _GROWTH * before.counted
    return has_grown and abs(usage.used - before.used) <= _PLATEAU * before.used
