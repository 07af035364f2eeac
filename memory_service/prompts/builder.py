"""Building a prompt that fits its token budget.

The stages, each a function that takes values and returns a frozen one:

1. `location`: the conversation, and the end of its active branch before the input.
2. `frame`: the budget, the fixed parts, and the limits of the recent window. The turns that the
   client has sent again become its own messages (`client_history`).
3. `recalled_turns`: the hits that the recalled block may quote.
4. `layout`: the recent window, the hits and the summaries that fit together.
5. `assembly`: the messages, and the tokens of each part. A client's history gets roles in the order
   that strict chat templates accept (`alternation`).
6. `state` and `traces`: what the next prompt starts from, and how this one was built.

Three choices are remembered, so that providers' prefix caches cover the next prompt: where the
recent window begins, which summaries come before it, and which turns the recalled block quotes.
"""

from __future__ import annotations

from collections.abc import Callable

from memory_service.core.models import Prompt, PromptState
from memory_service.prompts.assembly import assemble
from memory_service.prompts.budget import Budget, check_fixed_parts, fixed_parts
from memory_service.prompts.frame import PromptFrame, prompt_frame
from memory_service.prompts.layout import PromptLayout, fit
from memory_service.prompts.location import locate
from memory_service.prompts.recalled_block import HitChoice
from memory_service.prompts.recalled_turns import PromptRecaller
from memory_service.prompts.recent_window import RecentWindow
from memory_service.prompts.request import PromptDefaults, PromptRequest
from memory_service.prompts.state import PromptStates, next_state
from memory_service.prompts.summary_block import SummaryBlock
from memory_service.prompts.summary_choice import SummaryChooser
from memory_service.prompts.traces import Traces
from memory_service.recall.recaller import Recaller
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.log import TurnLog


class PromptBuilder:
    """Builds prompts from the log and a recall."""

    def __init__(
        self,
        log: TurnLog,
        recaller: Recaller,
        counter: Callable[[str | None], TokenCounter],
        states: PromptStates,
        traces: Traces,
        defaults: PromptDefaults,
        summaries: SummaryChooser,
    ) -> None:
        self._log = log
        self._recaller = PromptRecaller(log, recaller)
        self._counter = counter
        self._states = states
        self._traces = traces
        self._defaults = defaults
        self._summaries = summaries

    def build(self, project_key: int, conversation_id: str, request: PromptRequest) -> Prompt:
        """Return the prompt; raises NotFound, or ContextLengthExceeded if it cannot fit."""
        counter = self._counter(request.model)
        frame = self._frame(project_key, conversation_id, request, counter)
        recalled = self._recaller.recall(frame, counter)
        layout = self._lay_out(frame, recalled.choice, counter)
        prompt = assemble(frame, layout, recalled.recall, counter)
        if request.unstored is None:
            left_out = recalled.left_out(layout.choice.dropped)
            self._remember(frame, next_state(frame, layout, left_out))
        self._traces.add_prompt(
            project_key,
            frame.location.conversation.key,
            prompt,
            recalled.recall,
            reused=recalled.reused,
        )
        return prompt

    def check(self, request: PromptRequest) -> None:
        """Raise ContextLengthExceeded if system, input, tools and the answer alone do not fit."""
        counter = self._counter(request.model)
        parts = fixed_parts(request.system or (), request.input, request.tools, counter)
        check_fixed_parts(parts, Budget.of(request, self._defaults, parts.tokens))

    def _frame(
        self,
        project_key: int,
        conversation_id: str,
        request: PromptRequest,
        counter: TokenCounter,
    ) -> PromptFrame:
        """Locate the prompt in its conversation, and settle its fixed parts and limits."""
        size = self._defaults.window_size(request)
        with self._log.read() as snapshot:
            location = locate(
                snapshot,
                project_key,
                conversation_id,
                request,
                size,
                self._defaults.recent_media_bytes,
            )
            conversation = location.conversation
            is_stored = request.unstored is None
            state = self._states.get(snapshot, conversation.key) if is_stored else PromptState()
            summaries = self._summaries.remembered(snapshot, conversation, state)
        return prompt_frame(request, location, state, summaries, self._defaults, counter)

    def _lay_out(
        self, frame: PromptFrame, choice: HitChoice, counter: TokenCounter
    ) -> PromptLayout:
        """Fit the parts together, with new summaries if the recent window is cut."""
        layout = fit(frame, frame.summaries, choice, counter)
        window_seq = layout.window.first_seq
        if window_seq is not None and window_seq == frame.state.window_seq:
            return layout
        summaries = self._new_summaries(frame, layout.window, counter)
        return fit(frame, summaries, layout.choice, counter, not_before=layout.window.start)

    def _new_summaries(
        self, frame: PromptFrame, window: RecentWindow, counter: TokenCounter
    ) -> SummaryBlock:
        """Return the summaries of the turns before a window whose beginning has moved."""
        conversation = frame.location.conversation
        if not self._summaries.has_summaries(conversation):
            return frame.summary_block([], counter)
        with self._log.read() as snapshot:
            summaries = self._summaries.before_window(
                snapshot, conversation, window.first_seq, frame.budget, counter
            )
        return frame.summary_block(summaries, counter)

    def _remember(self, frame: PromptFrame, state: PromptState) -> None:
        """Keep the state for the next prompt; turns that left the window are summarised."""
        if state == frame.state:
            return
        conversation = frame.location.conversation
        self._states.set(conversation.key, state)
        if state.window_seq not in {None, 1, frame.state.window_seq}:
            self._summaries.queue(conversation)
