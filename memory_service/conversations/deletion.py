"""Delete an item with its tool group, a conversation, or a user.

Each deletion returns a receipt: its kind and its counts, never the deleted text. SQLite keeps
deleted text in its write-ahead file until a checkpoint, and a checkpoint waits for open snapshots.
So a deletion tries a checkpoint at once; if a snapshot prevents it, a thread tries again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from memory_service.conversations.lookup import find_item, lock_conversation
from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, DeletedKind, Receipt
from memory_service.items.fields import new_id
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import WriteTransaction

logger = structlog.get_logger(__name__)

_CHECKPOINT_PAUSE_SECONDS = 0.1
_LOGGED_TRY = 50
"""A snapshot that prevents this many tries (5 seconds) is reported in the log."""


class DeletionService:
    """Deletes items, conversations and users from the log; `on_deleted` is called after each."""

    def __init__(self, log: TurnLog, on_deleted: Callable[[], None]) -> None:
        self._log = log
        self._on_deleted = on_deleted
        self._checkpoints = _CheckpointThread(log)

    def close(self) -> None:
        """Stop waiting for snapshots; closing the log empties its write-ahead file."""
        self._checkpoints.close()

    def delete_item(
        self, project_key: int, conversation_id: str, item_id: str
    ) -> tuple[Conversation, Receipt]:
        """Delete an item with its tool group; raises NotFound."""
        with self._log.write() as transaction:
            conversation = lock_conversation(transaction, project_key, conversation_id)
            turn = find_item(transaction, project_key, conversation.key, item_id)
            counts = transaction.deletions.delete_turns(
                conversation, transaction.turns.tool_group(turn)
            )
            receipt = _receipt(transaction, project_key, "item", counts, conversation.user_key)
        self._clean_up()
        return conversation, receipt

    def delete_conversation(self, project_key: int, conversation_id: str) -> Receipt:
        """Delete a conversation with all its turns; raises NotFound."""
        with self._log.write() as transaction:
            conversation = lock_conversation(transaction, project_key, conversation_id)
            counts = transaction.deletions.delete_conversation(conversation)
            user_key = conversation.user_key
            receipt = _receipt(transaction, project_key, "conversation", counts, user_key)
        self._clean_up()
        return receipt

    def delete_user(self, project_key: int, user_id: str) -> Receipt:
        """Delete a user with all conversations; raises NotFound."""
        with self._log.write() as transaction:
            user_key = transaction.users.key_of(project_key, user_id)
            if user_key is None:
                raise NotFound(f"No user {user_id!r}.", param="user_id")
            counts: Counter[str] = Counter()
            for conversation in list(transaction.conversations.all(project_key, user_key)):
                counts += transaction.deletions.delete_conversation(conversation)
            counts += transaction.deletions.delete_user(user_key)
            receipt = _receipt(transaction, project_key, "user", counts, user_key)
        self._clean_up()
        return receipt

    def delete_response(self, project_key: int, response_id: str) -> Receipt:
        """Delete a response; raises NotFound.

        The turns of its conversation remain. A conversation that was made only for responses is
        deleted with the last of them.
        """
        with self._log.write() as transaction:
            response = transaction.responses.get(project_key, response_id)
            if response is None:
                raise NotFound(f"Response with id {response_id!r} not found.", param="response_id")
            counts = transaction.deletions.delete_response(project_key, response)
            key = response.conversation_key
            owner = transaction.conversations.by_key(key)
            user_key = None if owner is None else owner.user_key
            if response.detail["is_unnamed"] and not transaction.responses.exist(key):
                conversation = lock_conversation(transaction, project_key, response.conversation_id)
                counts += transaction.deletions.delete_conversation(conversation)
            receipt = _receipt(transaction, project_key, "response", counts, user_key)
        self._clean_up()
        return receipt

    def delete_completion(self, project_key: int, completion_id: str) -> None:
        """Delete a stored chat completion; raises NotFound."""
        with self._log.write() as transaction:
            if not transaction.deletions.delete_completion(project_key, completion_id):
                raise NotFound(
                    f"No stored chat completion {completion_id!r}.", param="completion_id"
                )
        self._clean_up()

    def _clean_up(self) -> None:
        self._on_deleted()
        self._checkpoints.checkpoint()


class _CheckpointThread:
    """Empties the write-ahead file: at once if no snapshot needs it, else in a thread."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def checkpoint(self) -> None:
        """Empty the file as soon as no snapshot needs it; does not wait for that."""
        if self._log.checkpoint():
            return
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._closing.set()
        if (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        tries = 1
        while not self._closing.wait(_CHECKPOINT_PAUSE_SECONDS):
            with self._guard:
                if self._log.checkpoint():
                    self._thread = None
                    return
            tries += 1
            if tries == _LOGGED_TRY:
                logger.warning(
                    "deleted text is still in the write-ahead file, an open snapshot needs it",
                    tries=tries,
                )


def _receipt(
    transaction: WriteTransaction,
    project_key: int,
    kind: DeletedKind,
    counts: Mapping[str, int],
    user_key: int | None,
) -> Receipt:
    return transaction.receipts.add(
        project_key, new_id("rcpt"), kind, counts, clock.now(), user_key
    )
