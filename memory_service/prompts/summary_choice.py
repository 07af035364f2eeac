"""Which summaries a prompt is given: those remembered, or new ones where its window was cut."""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core.models import Conversation, PromptState, Summary
from memory_service.prompts.assembly import Budget
from memory_service.prompts.summary_block import choose_summaries
from memory_service.summaries.hierarchy import cover
from memory_service.summaries.worker import SummaryRules
from memory_service.tokens.counting import TokenCounter
from memory_service.turn_log.deferred_writer import DeferredWriter
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction


class SummaryChooser:
    """Finds summaries for prompts; without `rules` there are none."""

    def __init__(
        self, log: TurnLog, later: DeferredWriter, rules: SummaryRules | None, *, token_share: float
    ) -> None:
        self._log = log
        self._later = later
        self._rules = rules
        self._token_share = token_share

    def remembered(
        self, snapshot: ReadTransaction, conversation: Conversation, state: PromptState
    ) -> Sequence[Summary]:
        """Return the summaries of the conversation's last prompt, but those deleted since."""
        if not state.summaries or not self._wants(conversation):
            return []
        found = snapshot.summaries.by_keys(conversation.key, state.summaries)
        return [found[key] for key in state.summaries if key in found]

    def before(
        self,
        conversation: Conversation,
        window_seq: int | None,
        budget: Budget,
        counter: TokenCounter,
    ) -> Sequence[Summary]:
        """Return what tells of the turns before a window, within the share of the budget.

        An empty window (None) has everything before it.
        """
        if not self._wants(conversation):
            return []
        before_seq = conversation.next_seq if window_seq is None else window_seq
        with self._log.read() as snapshot:
            places = cover(snapshot.summaries.places(conversation.key), before_seq)
            found = snapshot.summaries.by_keys(conversation.key, [place.key for place in places])
        room = int((budget.total - budget.reserved) * self._token_share)
        return choose_summaries([found[place.key] for place in places], room, counter)

    def on_cut(self, conversation: Conversation) -> None:
        """Say that turns have left the conversation's recent window."""
        if self._wants(conversation):
            self._later.submit(lambda transaction: transaction.summary_queue.add(conversation.key))

    def _wants(self, conversation: Conversation) -> bool:
        return self._rules is not None and self._rules.wants(conversation)
