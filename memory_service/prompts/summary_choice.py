"""The choice of summaries for a prompt: those of the last one, or others if its window was cut."""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core.models import Conversation, PromptState, Summary
from memory_service.prompts.budget import Budget
from memory_service.prompts.summary_block import choose_summaries
from memory_service.summaries.hierarchy import cover
from memory_service.summaries.rules import SummaryRules
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.transactions import ReadTransaction


class SummaryChooser:
    """Chooses summaries for prompts; without `rules` there are none.

    `token_share` is the largest share of a budget that summaries may take.
    """

    def __init__(
        self, deferred_writer: DeferredWriter, rules: SummaryRules | None, *, token_share: float
    ) -> None:
        self._deferred_writer = deferred_writer
        self._rules = rules
        self._token_share = token_share

    def has_summaries(self, conversation: Conversation) -> bool:
        """Return whether prompts of a conversation have summaries."""
        return self._rules is not None and self._rules.apply_to(conversation)

    def remembered(
        self, snapshot: ReadTransaction, conversation: Conversation, state: PromptState
    ) -> Sequence[Summary]:
        """Return the summaries of the conversation's last prompt, without those deleted since."""
        if not state.summaries or not self.has_summaries(conversation):
            return []
        summaries = snapshot.summaries.by_keys(conversation.key, state.summaries)
        return [summaries[key] for key in state.summaries if key in summaries]

    def before_window(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        window_seq: int | None,
        budget: Budget,
        counter: TokenCounter,
    ) -> Sequence[Summary]:
        """Return summaries of the turns before a window, within the share of the budget.

        All turns are before an empty window (None).
        """
        if not self.has_summaries(conversation):
            return []
        before_seq = conversation.next_seq if window_seq is None else window_seq
        keys = [
            covered.key
            for covered in cover(snapshot.summaries.ranges(conversation.key), before_seq)
        ]
        summaries = snapshot.summaries.by_keys(conversation.key, keys)
        room = int(budget.usable * self._token_share)
        return choose_summaries([summaries[key] for key in keys], room, counter)

    def queue(self, conversation: Conversation) -> None:
        """Queue a conversation, to summarise the turns that have left its recent window."""
        if self.has_summaries(conversation):
            self._deferred_writer.submit(
                lambda transaction: transaction.summary_queue.add(conversation.key)
            )
