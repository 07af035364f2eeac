"""Assembling a prompt: its messages in their order, and the tokens of each part. Pure.

The order suits providers' prefix caches: system messages, summaries and recent turns seldom change;
the new input comes last, with the recalled block in its last user message.
"""

from __future__ import annotations

from dataclasses import replace

from memory_service.core.models import Prompt, PromptTokens, Recall
from memory_service.items.fields import new_id
from memory_service.prompts.frame import PromptFrame
from memory_service.prompts.layout import PromptLayout
from memory_service.prompts.recalled_block import with_recalled
from memory_service.prompts.summary_block import summary_tokens, with_summaries
from memory_service.tokens.counting import TokenCounter


def assemble(
    frame: PromptFrame, layout: PromptLayout, recall: Recall, counter: TokenCounter
) -> Prompt:
    """Return the prompt with the parts of a layout."""
    window, choice, shown = layout.window, layout.choice, layout.summaries.shown
    messages = with_recalled([*window.messages, *frame.fixed.input], choice.hits)
    return Prompt(
        messages=[*frame.fixed.system, *with_summaries(messages, shown)],
        tokens=_tokens(frame, layout, summary_tokens(messages, shown, counter), counter),
        recalled=[replace(hit, rank=rank) for rank, hit in enumerate(choice.hits, start=1)],
        recent_first_seq=window.first_seq,
        recent_last_seq=window.last_seq,
        summaries=shown,
        dropped=[*choice.dropped, *window.dropped],
        degraded=recall.degraded,
        trace_id=new_id("trace"),
    )


def _tokens(
    frame: PromptFrame, layout: PromptLayout, summary_tokens: int, counter: TokenCounter
) -> PromptTokens:
    fixed, recent, recalled = frame.fixed, layout.window.tokens, layout.recalled_tokens
    return PromptTokens(
        system=fixed.system_tokens,
        summary=summary_tokens,
        recent=recent,
        recalled=recalled,
        input=fixed.input_tokens,
        tools=fixed.tools_tokens,
        total=fixed.tokens + summary_tokens + recent + recalled,
        reserved_output=frame.budget.reserved,
        budget=frame.budget.total,
        counter=counter.name,
    )
