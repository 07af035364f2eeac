"""Context windows: how many tokens a prompt and its answer may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

WindowSource = Literal["setting", "refusal", "list", "usage", "table", "default"]
"""Where a window is known from: the settings, an upstream's refusal, its list of models, usage that
stopped growing, the table of known models, or nowhere."""

_ASSUMED: Final = frozenset({"refusal", "table", "default"})


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """The context window of a model in tokens.

    It covers the prompt and the answer; without `counts_answer` the prompt alone.
    """

    tokens: int
    source: WindowSource
    counts_answer: bool = True

    @property
    def is_assumed(self) -> bool:
        """Whether the upstream may accept more: then a longer request is sent, and it decides.

        A window from a list of models or from usage is the upstream's own: it would cut the prompt.
        """
        return self.source in _ASSUMED
