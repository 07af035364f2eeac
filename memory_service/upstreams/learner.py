"""Learn from an upstream's answers: the context windows of models, and how it counts tokens."""

from __future__ import annotations

import threading
from typing import Literal

import structlog
from cachetools import LRUCache

from memory_service.tokens.context_window import ContextWindow
from memory_service.upstreams.refusals import Refusal
from memory_service.upstreams.token_corrections import TokenCorrections
from memory_service.upstreams.usage import CutDetector, PromptUsage
from memory_service.upstreams.windows import ContextWindows, ModelKey

UsageWarning = Literal["prompt_cut_by_upstream"]
"""What is wrong with a prompt that was answered nevertheless."""

_MAX_UNREPORTED = 1_000

logger = structlog.get_logger(__name__)


class UpstreamLearner:
    """Learns from refusals and from usage. Safe for threads."""

    def __init__(self, windows: ContextWindows, corrections: TokenCorrections) -> None:
        self._windows = windows
        self._corrections = corrections
        self._cuts = CutDetector()
        self._lock = threading.Lock()
        self._unreported: LRUCache[ModelKey, UsageWarning] = LRUCache(_MAX_UNREPORTED)

    def learn_refusal(
        self,
        key: ModelKey,
        refusal: Refusal,
        *,
        counted: int | None,
        reserved: int = 0,
        has_media: bool = False,
    ) -> None:
        """Learn the limit and the count of a refusal.

        `counted` are the tokens of the refused prompt as we count them, None if they were not
        counted; `reserved` are those for its answer.
        """
        self._windows.learn_refusal(key, refusal, None if counted is None else counted + reserved)
        if counted is not None and not has_media:
            self._corrections.learn(key.model, counted, refusal.prompt)

    def learn_limit(self, key: ModelKey, tokens: int) -> None:
        """Learn from a refusal without a limit that a prompt with `tokens` was accepted after."""
        self._windows.learn(key, ContextWindow(tokens, "refusal"))

    def learn_usage(
        self,
        key: ModelKey,
        counted: int,
        used: int | None,
        *,
        has_media: bool,
        is_shown: bool,
    ) -> UsageWarning | None:
        """Learn from the tokens of an answered prompt; return what is wrong with it, if anything.

        Nothing is learned of prompts with media, which are only estimated. A warning that is not
        shown with this answer is kept for the model's next one: the headers of a stream are sent
        before its usage is known.
        """
        if used is None or used <= 0 or has_media:
            return None
        window = self._cuts.window_if_cut(key, PromptUsage(counted, used))
        if window is not None:
            logger.warning(
                "the upstream cut a prompt silently",
                model=key.model,
                sent=counted,
                reported=used,
                window=window,
            )
            self._windows.learn(key, ContextWindow(window, "usage"))
            if not is_shown:
                with self._lock:
                    self._unreported[key] = "prompt_cut_by_upstream"
            return "prompt_cut_by_upstream"
        if used <= 2 * counted:
            self._windows.disprove(key, used)
        self._corrections.learn(key.model, counted, used)
        return None

    def unreported_warning(self, key: ModelKey) -> UsageWarning | None:
        """Return the warning of an earlier stream that no response has shown yet."""
        with self._lock:
            return self._unreported.pop(key, None)
