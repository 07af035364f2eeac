"""Find a conversation or an item of a project; raises NotFound if it does not exist."""

from __future__ import annotations

from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, Turn
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction


def find_conversation(
    snapshot: ReadTransaction,
    project_key: int,
    conversation_id: str,
    *,
    param: str = "conversation_id",
) -> Conversation:
    """Return a conversation of the project; raises NotFound that names `param`."""
    conversation = snapshot.conversations.get(project_key, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param=param)
    return conversation


def lock_conversation(
    transaction: WriteTransaction, project_key: int, conversation_id: str
) -> Conversation:
    """Return a conversation, locked against other transactions until this one ends."""
    conversation = transaction.conversations.lock(project_key, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return conversation


def find_item(
    snapshot: ReadTransaction,
    project_key: int,
    conversation_key: int,
    item_id: str,
    *,
    param: str = "item_id",
) -> Turn:
    """Return an item of the conversation, of any branch; raises NotFound that names `param`."""
    turn = snapshot.turns.get(project_key, conversation_key, item_id)
    if turn is None:
        raise NotFound(f"No item {item_id!r} in this conversation.", param=param)
    return turn
