"""How the upstream counts, learned from what it says it counted: a factor a model, kept in the log.

A prompt that turns out longer than it was counted raises the factor at once; shorter ones lower it
slowly, so that it stays near the highest that was seen lately.
"""

from __future__ import annotations

import threading

from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog

LOWEST, HIGHEST = 0.8, 2.0
"""Bounds of a factor: an upstream that counts otherwise counts something else, or wrongly."""

MIN_TOKENS = 200
"""Shorter prompts say more about the upstream's template than about its tokenizer."""

MARGIN = 0.02
"""One prompt differs that much from the next; a budget must hold for both."""

_FALL = 0.01
_MAX_MODELS = 1_000
_NAME_CHARS = 40


class Corrections:
    """Tokens that the upstream counts for one of ours, by model; 1 until it has said so."""

    def __init__(self, log: TurnLog, later: DeferredWriter) -> None:
        self._log = log
        self._later = later
        self._lock = threading.Lock()
        self._factors: dict[str, float | None] = {}

    def of(self, model: str | None) -> float:
        """Return the factor for a model, between 0.8 and 2."""
        factor = self._known(_name(model))
        return 1.0 if factor is None else min(HIGHEST, factor + MARGIN)

    def learn(self, model: str | None, counted: int, used: int | None) -> None:
        """Take in what the upstream counted for a prompt that we counted too."""
        if used is None or used <= 0 or counted < MIN_TOKENS:
            return
        seen = min(HIGHEST, max(LOWEST, used / counted))
        name = _name(model)
        known = self._known(name)
        factor = seen if known is None else max(seen, known - _FALL)
        if factor == known:
            return
        with self._lock:
            self._factors[name] = factor
        self._later.submit(lambda transaction: transaction.properties.set(name, f"{factor:.4f}"))

    def _known(self, name: str) -> float | None:
        with self._lock:
            if name in self._factors:
                return self._factors[name]
        with self._log.read() as snapshot:
            value = snapshot.properties.get(name)
        with self._lock:
            # Names come from requests; those of models that never answered need not stay.
            if len(self._factors) >= _MAX_MODELS:
                self._factors.clear()
            return self._factors.setdefault(name, None if value is None else float(value))


def _name(model: str | None) -> str:
    return f"token_correction:{(model or '')[:_NAME_CHARS]}"
