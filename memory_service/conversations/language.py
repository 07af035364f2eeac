"""The language of a conversation: it is detected in its first turns and then fixed.

Terms depend on the language, because stop words and stems do. The first turns may be too short to
detect it; their terms are derived again when it is known.
"""

from __future__ import annotations

from itertools import islice

from memory_service.conversations.preparation import SAMPLE_TURNS
from memory_service.core.models import Conversation
from memory_service.text.chunking import passage_text
from memory_service.text.spans import Span
from memory_service.text.terms import terms
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction

FIRST_SEQ = 1
"""The `seq` of a conversation's first turn."""


def language_sample(snapshot: ReadTransaction, conversation: Conversation) -> str:
    """Return the first texts of a conversation; empty if its language is known already."""
    if conversation.language is not None or conversation.next_seq == FIRST_SEQ:
        return ""
    first_turns = islice(snapshot.turns.all(conversation.key), SAMPLE_TURNS)
    return "\n".join(turn.text for turn in first_turns)


def fix_language(transaction: WriteTransaction, conversation: Conversation, language: str) -> None:
    """Store the language of a conversation, and derive the terms of its earlier turns again."""
    transaction.conversations.set_language(conversation.key, language)
    if conversation.next_seq > FIRST_SEQ:
        _renew_terms(transaction, conversation, language)


def _renew_terms(transaction: WriteTransaction, conversation: Conversation, language: str) -> None:
    turns = {turn.key: turn for turn in transaction.turns.all(conversation.key)}
    texts = {
        passage.key: passage_text(
            turns[passage.turn_key].speaker,
            turns[passage.turn_key].text,
            Span(passage.start, passage.end),
        )
        for passage in transaction.passages.of_turns(turns)
    }
    transaction.postings.replace(
        conversation.key, {key: terms(text, language) for key, text in texts.items()}
    )
