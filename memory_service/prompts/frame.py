"""The frame of a prompt: everything that is decided before turns are recalled. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory_service.core.models import PromptState, Summary
from memory_service.items.chat_messages import ClientMessage, call_ids, message_groups
from memory_service.prompts.alternation import OPENING
from memory_service.prompts.budget import (
    Budget,
    FixedParts,
    check_fixed_parts,
    fixed_parts,
    with_preamble,
)
from memory_service.prompts.location import PromptLocation
from memory_service.prompts.question import UserMessageIdentity, user_message_identity
from memory_service.prompts.recent_window import (
    CountedGroups,
    RecentWindow,
    WindowLimits,
    recent_window,
    summary_room,
    window_limits,
)
from memory_service.prompts.request import PromptDefaults, PromptRequest
from memory_service.prompts.summary_block import SummaryBlock
from memory_service.tokens.counting import TokenCounter, count_message


@dataclass(frozen=True, slots=True)
class PromptFrame:
    """The fixed parts of a prompt, and the limits of its other parts.

    `state` is what is remembered of the conversation's last prompt, and `summaries` are the
    summaries in that prompt. `branch` are the message groups that the recent window is taken from.
    """

    request: PromptRequest
    location: PromptLocation
    state: PromptState
    identity: UserMessageIdentity | None
    top_k: int
    budget: Budget
    fixed: FixedParts
    branch: CountedGroups
    limits: WindowLimits
    summaries: SummaryBlock

    @property
    def is_repeated(self) -> bool:
        """Whether the last prompt was for the same user message, with the same limits."""
        return self.limits.steady

    @property
    def free_tokens(self) -> int:
        """The tokens that the fixed parts leave."""
        return self.limits.max_tokens

    def window(self, taken_tokens: int, *, not_before: int = 0) -> RecentWindow:
        """Return the recent window if other parts take `taken_tokens` of the free tokens."""
        limits = self.limits.without(taken_tokens)
        return recent_window(self.branch, limits, self.state.window_seq, not_before=not_before)

    def summary_block(self, summaries: Sequence[Summary], counter: TokenCounter) -> SummaryBlock:
        """Return a summary block with other summaries."""
        return SummaryBlock.of(summaries, summary_room(self.branch, self.limits), counter)


def prompt_frame(
    request: PromptRequest,
    location: PromptLocation,
    state: PromptState,
    summaries: Sequence[Summary],
    defaults: PromptDefaults,
    counter: TokenCounter,
) -> PromptFrame:
    """Return the frame; raises ContextLengthExceeded if what must be in the prompt does not fit."""
    fixed = fixed_parts(location.system, request.input, request.tools, counter)
    budget = Budget.of(request, defaults, fixed.tokens)
    check_fixed_parts(fixed, budget)
    sent: Mapping[int, ClientMessage] = {}
    if request.history is not None:
        path = [*location.turns, *request.stored_input]
        sent = request.history.of_turns(path)
        fixed = with_preamble(fixed, request.history.preamble(path, sent), budget, counter)
    groups = message_groups(location.turns, call_ids(request.input), sent)
    if not request.vendor_fields:
        groups = [group.without_vendor_fields() for group in groups]
    branch = CountedGroups.of(groups, counter)
    top_k = defaults.top_k_of(request)
    identity = user_message_identity(location, request, top_k)
    limits = window_limits(
        branch,
        request,
        size=defaults.window_size(request),
        free_tokens=_free_tokens(request, budget, fixed, counter),
        steady=identity is not None and identity.is_of(state),
    )
    return PromptFrame(
        request=request,
        location=location,
        state=state,
        identity=identity,
        top_k=top_k,
        budget=budget,
        fixed=fixed,
        branch=branch,
        limits=limits,
        summaries=SummaryBlock.of(summaries, summary_room(branch, limits), counter),
    )


def _free_tokens(
    request: PromptRequest, budget: Budget, fixed: FixedParts, counter: TokenCounter
) -> int:
    """Return the tokens that the fixed parts leave; a client's history may need an opening."""
    opening = 0 if request.history is None else count_message(OPENING, counter)
    return max(0, budget.usable - fixed.tokens - opening)
