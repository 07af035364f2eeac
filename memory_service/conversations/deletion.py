"""Forgetting: an item with its unit, a conversation, a user; and the receipt that says so."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import structlog

from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, Receipt
from memory_service.items.fields import new_id
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import WriteTransaction

logger = structlog.get_logger(__name__)

_CHECKPOINT_TRIES = 50
"""A reader that is in the way longer than this is worth a line in the log."""
_CHECKPOINT_PAUSE_SECONDS = 0.1


class DeletionService:
    """The use cases that delete."""

    def __init__(self, log: TurnLog, on_deleted: Callable[[], None]) -> None:
        self._log = log
        self._on_deleted = on_deleted
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._cleaner: threading.Thread | None = None

    def close(self) -> None:
        """Stop waiting for readers; the log empties its write-ahead file when it is closed."""
        self._closing.set()
        if (cleaner := self._cleaner) is not None:
            cleaner.join()

    def item(
        self, project_key: int, conversation_id: str, item_id: str
    ) -> tuple[Conversation, Receipt]:
        """Delete an item, and the tool unit it is part of."""
        with self._log.write() as transaction:
            conversation = _conversation(transaction, project_key, conversation_id)
            turn = transaction.turns.get(project_key, conversation.key, item_id)
            if turn is None:
                raise NotFound(f"No item {item_id!r} in this conversation.", param="item_id")
            counts = transaction.deletions.delete_turns(
                conversation, transaction.turns.tool_group(turn)
            )
            receipt = transaction.receipts.add(
                project_key, new_id("rcpt"), "item", counts, clock.now()
            )
        self._clean_up()
        return conversation, receipt

    def conversation(self, project_key: int, conversation_id: str) -> Receipt:
        """Delete a conversation with all its turns."""
        with self._log.write() as transaction:
            counts = transaction.deletions.delete_conversation(
                _conversation(transaction, project_key, conversation_id)
            )
            receipt = transaction.receipts.add(
                project_key, new_id("rcpt"), "conversation", counts, clock.now()
            )
        self._clean_up()
        return receipt

    def user(self, project_key: int, user_id: str) -> Receipt:
        """Delete a user with all conversations."""
        with self._log.write() as transaction:
            user_key = transaction.users.key_of(project_key, user_id)
            if user_key is None:
                raise NotFound(f"No user {user_id!r}.", param="user_id")
            counts: Counter[str] = Counter()
            for conversation in list(transaction.conversations.all(project_key, user_key)):
                counts += transaction.deletions.delete_conversation(conversation)
            counts += transaction.deletions.delete_user(user_key)
            receipt = transaction.receipts.add(
                project_key, new_id("rcpt"), "user", counts, clock.now()
            )
        self._clean_up()
        return receipt

    def _clean_up(self) -> None:
        """Take the deleted text out of the write-ahead file, as soon as no reader needs it."""
        self._on_deleted()
        if self._log.checkpoint():
            return
        with self._guard:
            if self._cleaner is None:
                self._cleaner = threading.Thread(
                    target=self._checkpoint_later, name="checkpoint", daemon=True
                )
                self._cleaner.start()

    def _checkpoint_later(self) -> None:
        tries = 1
        while not self._closing.wait(_CHECKPOINT_PAUSE_SECONDS):
            with self._guard:
                if self._log.checkpoint():
                    self._cleaner = None
                    return
            tries += 1
            if tries == _CHECKPOINT_TRIES:
                logger.warning(
                    "deleted text is still in the write-ahead file: a reader is in the way",
                    tries=tries,
                )


def _conversation(
    transaction: WriteTransaction, project_key: int, conversation_id: str
) -> Conversation:
    found = transaction.conversations.lock(project_key, conversation_id)
    if found is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return found
