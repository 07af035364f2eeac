"""The context windows of models: set, learned from upstreams, from the table, or assumed.

What is learned is kept in the log, for each upstream and model by its source. An upstream is named
by its base URL or by its entry in the table of upstreams.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import structlog
from cachetools import LRUCache

from memory_service.tokens.context_window import ContextWindow, WindowSource
from memory_service.tokens.model_table import bare_name, context_window
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import WriteTransaction
from memory_service.upstreams.refusals import Refusal

LEAST, MOST = 256, 20_000_000
"""Bounds of a window that is learned: numbers beyond them mean something else."""

_LEARNED: Final[tuple[WindowSource, ...]] = ("refusal", "list", "usage")
_PREFIX = "context_window:"
_MAX_MODELS = 10_000
_MAX_USED = 100
_DIGEST_BYTES = 16

logger = structlog.get_logger(__name__)


class ModelKey(NamedTuple):
    """A model of an upstream."""

    upstream: str
    model: str


class UsedWindow(NamedTuple):
    """The window of a model that was asked for."""

    model: str
    window: ContextWindow


@dataclass(frozen=True, slots=True)
class SetWindows:
    """The windows that the settings name: of every model, and by patterns for names of models.

    In a pattern, `*` stands for any characters. An equal name counts before a pattern, a longer
    pattern before a shorter one.
    """

    every: int | None = None
    by_model: Mapping[str, int] = field(default_factory=dict)

    def of(self, model: str) -> int | None:
        """Return the window that is set for a model, None if none is."""
        names = {model.lower(), bare_name(model).lower()}
        fitting = [
            pattern
            for pattern in self.by_model
            if any(fnmatchcase(name, pattern.lower()) for name in names)
        ]
        if not fitting:
            return self.every
        best = max(fitting, key=lambda pattern: (pattern.lower() in names, len(pattern)))
        return self.by_model[best]


_Learned = Mapping[WindowSource, ContextWindow]


class ContextWindows:
    """The context windows of all models. Safe for threads."""

    def __init__(
        self, log: TurnLog, deferred_writer: DeferredWriter, set_windows: SetWindows
    ) -> None:
        self._log = log
        self._deferred_writer = deferred_writer
        self._set_windows = set_windows
        self._lock = threading.RLock()
        self._learned: LRUCache[ModelKey, _Learned] = LRUCache(_MAX_MODELS)
        self._used: LRUCache[ModelKey, None] = LRUCache(_MAX_USED)
        self._is_loaded = False

    def of(self, upstream: str | None, model: str | None) -> ContextWindow:
        """Return the window of a model: set, else learned, else of the table, else the default."""
        key = ModelKey(upstream or "", model or "")
        window = self._set(key) or self._smallest(self._learned_of(key))
        with self._lock:
            self._used[key] = None
        return window or context_window(model)

    def in_use(self) -> list[UsedWindow]:
        """Return the learned windows of the models that were asked for since the start."""
        with self._lock:
            keys = sorted(self._used)
        windows = [UsedWindow(key.model, self.of(*key)) for key in keys]
        return [used for used in windows if used.window.source in _LEARNED]

    def learn_refusal(self, key: ModelKey, refusal: Refusal, counted: int | None) -> None:
        """Learn the limit that a refusal states; `counted` are the tokens that were sent.

        A limit that is implausible, or that the request did not come near, is not learned.
        """
        tokens = refusal.window
        if tokens is None or refusal.is_quota or not refusal.is_consistent:
            return
        if counted is not None and 2 * counted < tokens:
            return
        self.learn(key, ContextWindow(tokens, "refusal", refusal.counts_answer))

    def learn(self, key: ModelKey, window: ContextWindow) -> None:
        """Keep a window. A list that states another one than before overrules what was observed."""
        if not LEAST <= window.tokens <= MOST:
            return
        with self._lock:
            learned = self._learned_of(key)
            previous = learned.get(window.source)
            if window == previous:
                return
            is_changed_list = window.source == "list" and previous is not None
            kept = {} if is_changed_list else learned
            self._keep(key, {**kept, window.source: window})
        logger.info(
            "a context window was learned",
            model=key.model,
            tokens=window.tokens,
            source=window.source,
        )

    def disprove(self, key: ModelKey, tokens: int) -> None:
        """Drop what was learned if the upstream has processed a longer prompt."""
        with self._lock:
            learned = self._learned_of(key)
            kept = {source: window for source, window in learned.items() if window.tokens >= tokens}
            if len(kept) == len(learned):
                return
            self._keep(key, kept)
        logger.info("a context window is larger than it was learned", model=key.model)

    def _set(self, key: ModelKey) -> ContextWindow | None:
        tokens = self._set_windows.of(key.model)
        return None if tokens is None else ContextWindow(tokens, "setting")

    def _learned_of(self, key: ModelKey) -> _Learned:
        with self._lock:
            if not self._is_loaded:
                self._learned.update(self._stored())
                self._is_loaded = True
            return self._learned.get(key, {})

    @staticmethod
    def _smallest(learned: _Learned) -> ContextWindow | None:
        return min(learned.values(), key=lambda window: window.tokens, default=None)

    def _stored(self) -> dict[ModelKey, _Learned]:
        with self._log.read() as snapshot:
            values = snapshot.properties.with_prefix(_PREFIX)
        return dict(_from_json(json.loads(value)) for value in values)

    def _keep(self, key: ModelKey, learned: _Learned) -> None:
        with self._lock:
            self._learned[key] = learned
        name, value = _property_name(key), json.dumps(_as_json(key, learned))

        def write(transaction: WriteTransaction) -> None:
            if learned:
                transaction.properties.set(name, value)
            else:
                transaction.properties.remove(name)

        self._deferred_writer.submit(write)


def _property_name(key: ModelKey) -> str:
    """Return the name of a property, which is at most 64 characters long."""
    text = "\0".join(key).encode("utf-8", "surrogatepass")
    return _PREFIX + blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()


def _as_json(key: ModelKey, learned: _Learned) -> dict[str, Any]:
    windows = {source: [window.tokens, window.counts_answer] for source, window in learned.items()}
    return {**key._asdict(), "windows": windows}


def _from_json(value: Mapping[str, Any]) -> tuple[ModelKey, _Learned]:
    windows = {
        source: ContextWindow(tokens, source, counts_answer)
        for source in _LEARNED
        for tokens, counts_answer in [value["windows"].get(source) or (0, True)]
        if tokens
    }
    return ModelKey(value["upstream"], value["model"]), windows
