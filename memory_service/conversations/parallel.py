"""Parallel requests on one conversation: keep each question together with its answer.

Parallel requests store their questions at once, one below the other. Each answer arrives when
others may have been stored after its question. Then the question moves to the end of the active
branch, and its answer follows it. So the branch has whole exchanges in the order of their answers,
and nothing leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core.models import Conversation, Turn
from memory_service.turn_log.repositories.history_index import BEGINNING
from memory_service.turn_log.transactions import WriteTransaction


def bring_to_end(
    transaction: WriteTransaction,
    project_key: int,
    conversation: Conversation,
    asked: Sequence[Turn],
) -> Conversation:
    """Move the turns of a question to the end of the active branch; return the conversation.

    They stay where they are if they left the active branch, or if another turn follows them in the
    history of its client: its client has continued without waiting for the answer.
    """
    keys = [turn.key for turn in asked]
    stored = transaction.turns.by_keys(project_key, keys)
    if len(stored) < len(keys):
        return conversation
    moved = [stored[key] for key in keys]
    path = transaction.history_index.path_from(conversation.key, moved[0].seq)
    if [row.key for row in path[: len(keys)]] != keys or len(path) == len(keys):
        return conversation
    later = path[len(keys) :]
    children = transaction.history_index.children(conversation.key, keys, moved[0].seq)
    if any(row.before_key in keys for row in later) or children != [later[0].key]:
        return conversation
    before_key = moved[0].parent_key
    transaction.history_index.set_follows(keys[0], BEGINNING if before_key is None else before_key)
    transaction.summaries.delete(conversation.key, [turn.seq for turn in moved])
    return transaction.turns.move_to_end(conversation, moved)
