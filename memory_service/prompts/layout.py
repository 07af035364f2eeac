"""The layout of a prompt: the recent window, the quoted hits and the summaries that fit. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.prompts.frame import PromptFrame
from memory_service.prompts.recalled_block import HitChoice, recalled_tokens
from memory_service.prompts.recent_window import RecentWindow
from memory_service.prompts.summary_block import SummaryBlock
from memory_service.tokens.counting import TokenCounter


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """The parts of a prompt beside its fixed ones; `recalled_tokens` are those of the block."""

    window: RecentWindow
    choice: HitChoice
    summaries: SummaryBlock
    recalled_tokens: int


def fit(
    frame: PromptFrame,
    summaries: SummaryBlock,
    choice: HitChoice,
    counter: TokenCounter,
    *,
    not_before: int = 0,
) -> PromptLayout:
    """Return the layout in which the parts fit together; the recent window gives way first.

    The window begins at the group `not_before` or later, because the summaries cover the turns
    before that. Hits are dropped, last ones first, only where the tokens of the parts do not add
    up: they were counted one by one, and joined they can take a token or two more.
    """
    room = frame.free_tokens - summaries.max_tokens
    layouts = (
        _layout(frame, summaries, choice.without_last(count), counter, not_before)
        for count in range(len(choice.hits) + 1)
    )
    return next(
        layout for layout in layouts if layout.recalled_tokens + layout.window.tokens <= room
    )


def _layout(
    frame: PromptFrame,
    summaries: SummaryBlock,
    choice: HitChoice,
    counter: TokenCounter,
    not_before: int,
) -> PromptLayout:
    """Return a layout with all hits of a choice; it can be too long by a token or two."""
    whole_branch = [message for group in frame.branch.groups for message in group.messages]
    taken = recalled_tokens([*whole_branch, *frame.fixed.input], choice.hits, counter)
    window = frame.window(summaries.max_tokens + taken, not_before=not_before)
    exact = recalled_tokens([*window.messages, *frame.fixed.input], choice.hits, counter)
    return PromptLayout(window, choice, summaries, exact)
