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
    """The parts of a prompt that are not fixed, with the tokens of the recalled block."""

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
    """Return the layout in which the parts fit together; the recent window is shortened first.

    The window begins at the group `not_before` or later, because the summaries cover the turns
    before that. Hits are dropped, the last one first, only if the parts are too long together: they
    were counted separately, and joined they can take one or two tokens more.
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
    """Return a layout with all hits of a choice; it can be one or two tokens too long."""
    whole_branch = [message for group in frame.branch.groups for message in group.messages]
    taken = recalled_tokens([*whole_branch, *frame.fixed.input], choice.hits, counter)
    window = frame.window(summaries.max_tokens + taken, not_before=not_before)
    exact = recalled_tokens([*window.messages, *frame.fixed.input], choice.hits, counter)
    return PromptLayout(window, choice, summaries, exact)
