"""The rules of summaries: which conversations have them, by which model, and how long."""

from __future__ import annotations

from dataclasses import dataclass

from memory_service.core.models import Conversation


@dataclass(frozen=True, slots=True)
class SummaryRules:
    """The settings of summaries.

    `by_default` applies to conversations without their own switch. If `model` is None, the model of
    the conversation's prompts writes them. `max_tokens` is the limit of one summary.
    """

    by_default: bool
    model: str | None
    max_tokens: int

    def apply_to(self, conversation: Conversation) -> bool:
        """Return whether a conversation is summarised."""
        return self.by_default if conversation.summaries is None else conversation.summaries
