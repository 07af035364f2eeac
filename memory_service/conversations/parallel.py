"""Parallel requests on one conversation: keep each question together with its answer.

Parallel requests store their questions at once, one below the other. Each answer arrives when
others may have been stored after its question. Then the question moves to the end of the active
branch, and its answer follows it; so does a question with its tool calls when their results arrive.
So the branch has whole exchanges in the order of their answers,
and nothing leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core.models import Conversation
from memory_service.turn_log.repositories.history_index import BEGINNING
from memory_service.turn_log.transactions import WriteTransaction


def bring_to_end(
    transaction: WriteTransaction,
    project_key: int,
    conversation: Conversation,
    keys: Sequence[int],
) -> Conversation:
    """Move the turns of a question to the end of the active branch; return the conversation.

    They stay where they are if they left the active branch, or if another turn follows them in the
    history of its client: its client has continued without waiting for the answer.
    """
    stored = transaction.turns.by_keys(project_key, keys)
    first_seq = min((turn.seq for turn in stored.values()), default=0)
    path = transaction.history_index.path_from(conversation.key, first_seq)
    others = [row for row in path if row.key not in stored]
    children = transaction.history_index.children(conversation.key, keys, first_seq)
    if (
        [row.key for row in path if row.key in stored] != keys
        or not others
        or any(row.before_key in stored for row in others)
        or not {row.key for row in others}.issuperset(children)
    ):
        return conversation
    for row in path:
        if row.key in stored:
            before_key = row.before_key
            transaction.history_index.set_follows(row.key, before_key or BEGINNING)
    transaction.summaries.delete(conversation.key, [turn.seq for turn in stored.values()])
    return transaction.turns.move_to_end(conversation, [row.key for row in path], keys)
