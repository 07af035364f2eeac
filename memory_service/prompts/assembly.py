"""Assembling a prompt: its messages in their order, and the tokens of each part. Pure.

The order suits providers' prefix caches: system messages, summaries and recent turns seldom change;
the new input comes last, with the recalled block in its last user message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_service.core.models import Prompt, PromptTokens, Recall
from memory_service.items.chat_messages import Message, PlacedMessage
from memory_service.items.fields import new_id
from memory_service.prompts.alternation import OPENING, alternating, lacks_opening
from memory_service.prompts.client_history import ClientHistory
from memory_service.prompts.frame import PromptFrame
from memory_service.prompts.layout import PromptLayout
from memory_service.prompts.recalled_block import recalled_tokens, with_recalled
from memory_service.prompts.summary_block import summary_tokens, with_summaries
from memory_service.tokens.counting import TokenCounter, count_message


@dataclass(frozen=True, slots=True)
class _Talk:
    """The messages of the recent turns and of the input, with the tokens of all but the input."""

    messages: Sequence[Message]
    recent_tokens: int


def assemble(
    frame: PromptFrame, layout: PromptLayout, recall: Recall, counter: TokenCounter
) -> Prompt:
    """Return the prompt with the parts of a layout."""
    window, choice, shown = layout.window, layout.choice, layout.summaries.shown
    talk = _talk(frame, layout, counter)
    messages = with_recalled(talk.messages, choice.hits)
    return Prompt(
        messages=[*frame.fixed.system, *with_summaries(messages, shown)],
        tokens=_tokens(frame, layout, talk, summary_tokens(messages, shown, counter), counter),
        recalled=[replace(hit, rank=rank) for rank, hit in enumerate(choice.hits, start=1)],
        recent_first_seq=window.first_seq,
        recent_last_seq=window.last_seq,
        summaries=shown,
        dropped=[*choice.dropped, *window.dropped],
        degraded=recall.degraded,
        trace_id=new_id("trace"),
    )


def _talk(frame: PromptFrame, layout: PromptLayout, counter: TokenCounter) -> _Talk:
    """Return the talk; for a client's history in roles that strict chat templates accept."""
    window, fixed, history = layout.window, frame.fixed, frame.request.history
    if history is None:
        return _Talk([*window.messages, *fixed.input], window.tokens)
    placed = _placed(frame, layout, history)
    joined = alternating(placed)
    # A summary block is the user's, and begins the prompt.
    is_opened = not layout.summaries.shown and lacks_opening(joined)
    messages = [*([OPENING] if is_opened else ()), *(entry.message for entry in joined)]
    added = _added_tokens([entry.message for entry in placed], messages, counter)
    return _Talk(messages, window.tokens + added)


def _placed(
    frame: PromptFrame, layout: PromptLayout, history: ClientHistory
) -> list[PlacedMessage]:
    """Return preamble, recent turns and input, with their positions as the client sent them."""
    fixed = frame.fixed
    first_input = len(history.messages) - len(fixed.input)
    return [
        *(PlacedMessage(message, position) for position, message in enumerate(fixed.preamble)),
        *layout.window.placed,
        *(PlacedMessage(message, first_input + n) for n, message in enumerate(fixed.input)),
    ]


def _added_tokens(
    before: Sequence[Message], after: Sequence[Message], counter: TokenCounter
) -> int:
    """Return the tokens that messages take more after some were joined: mostly less than 0."""
    old = {id(message): message for message in before}
    new = {id(message): message for message in after}
    added = sum(count_message(new[key], counter) for key in new.keys() - old.keys())
    return added - sum(count_message(old[key], counter) for key in old.keys() - new.keys())


def _tokens(
    frame: PromptFrame,
    layout: PromptLayout,
    talk: _Talk,
    summary_tokens: int,
    counter: TokenCounter,
) -> PromptTokens:
    fixed, recent = frame.fixed, talk.recent_tokens
    recalled = recalled_tokens(talk.messages, layout.choice.hits, counter)
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
