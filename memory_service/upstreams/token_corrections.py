"""Token corrections: learned factors between our token counts and the upstream's.

There is a factor for each model, kept in the log. A prompt for which the upstream counts more
raises the factor at once; other prompts lower it slowly. So it stays near the highest recent ratio.
"""

from __future__ import annotations

import threading

from cachetools import LRUCache

from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog

LOWEST, HIGHEST = 0.8, 2.0
"""Bounds of a factor: a ratio outside them means a count of something else, or a wrong count. From
a lower ratio nothing is learned: the upstream may have cut the prompt, and longer prompts would be
cut even more."""

MIN_TOKENS = 200
"""Nothing is learned from shorter prompts: the upstream's template dominates their count."""

MARGIN = 0.02
"""Added to a factor: ratios differ from prompt to prompt, and no prompt may exceed its budget."""

_FALL = 0.01
_MAX_MODELS = 1_000
_MODEL_NAME_CHARACTERS = 40


class TokenCorrections:
    """The factor of each model: the upstream's token count divided by ours. Safe for threads."""

    def __init__(self, log: TurnLog, deferred_writer: DeferredWriter) -> None:
        self._log = log
        self._deferred_writer = deferred_writer
        self._lock = threading.Lock()
        # Model names come from requests, so their number must be bounded.
        self._factors: LRUCache[str, float | None] = LRUCache(_MAX_MODELS)

    def of(self, model: str | None) -> float:
        """Return the factor for a model, between 0.8 and 2; 1 if nothing was learned yet."""
        factor = self._factor(_property_name(model))
        return 1.0 if factor is None else min(HIGHEST, factor + MARGIN)

    def learn(self, model: str | None, counted: int, used: int | None) -> None:
        """Learn from a prompt: `counted` is our token count, `used` is the upstream's."""
        if used is None or counted < MIN_TOKENS or used < LOWEST * counted:
            return
        ratio = min(HIGHEST, used / counted)
        name = _property_name(model)
        previous = self._factor(name)
        factor = ratio if previous is None else max(ratio, previous - _FALL)
        if factor == previous:
            return
        with self._lock:
            self._factors[name] = factor
        self._deferred_writer.submit(
            lambda transaction: transaction.properties.set(name, f"{factor:.4f}")
        )

    def _factor(self, name: str) -> float | None:
        """Return the learned factor, without its margin; None if there is none."""
        with self._lock:
            if name in self._factors:
                return self._factors[name]
        with self._log.read() as snapshot:
            value = snapshot.properties.get(name)
        with self._lock:
            return self._factors.setdefault(name, None if value is None else float(value))


def _property_name(model: str | None) -> str:
    return f"token_correction:{(model or '')[:_MODEL_NAME_CHARACTERS]}"
