"""Locate a request: find its conversation, and the position of its history in it.

A request names its conversation or its user. If it names only the user, the history is compared
with the user's newest conversations; a history that continues none of them begins a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import MICROSECONDS, Conversation
from memory_service.gateway.appending import append_alignment
from memory_service.gateway.history_alignment import Alignment, HistoryNode, SentMessage, align
from memory_service.gateway.message_hashes import MessageHashes, message_hash
from memory_service.gateway.request import AppendPoint, ChatRequest, HistoryMessage
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.fields import new_id
from memory_service.items.kinds import role_of
from memory_service.items.strict_json import dumps
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.turns import TreePoint
from memory_service.turn_log.transactions import ReadTransaction

NEWEST_CONVERSATIONS = 20
"""A history without a conversation's id is compared with this many conversations of its user."""

_MIN_TREE_TURNS = 200
"""A history is compared with at least this many of the newest turns, and with twice its length."""


@dataclass(frozen=True, slots=True)
class LocatedRequest:
    """A request whose project, user, conversation and position in the history are known.

    `conversation` is None if the log has none with the id.
    """

    chat: ChatRequest
    project_key: int
    conversation_id: str
    conversation: Conversation | None
    alignment: Alignment

    @property
    def new_messages(self) -> Sequence[HistoryMessage]:
        """The messages that are not stored."""
        return self.chat.history[self.alignment.first_new :]


class RequestLocator:
    """Locates requests, one at a time for each conversation. Safe for threads."""

    def __init__(self, log: TurnLog, retry_window_seconds: int) -> None:
        self._log = log
        self._retry_window = retry_window_seconds * MICROSECONDS
        self._hashes = MessageHashes()
        self._locks = _KeyedLocks()

    @contextmanager
    def located(self, project_key: int, chat: ChatRequest) -> Iterator[LocatedRequest | None]:
        """Locate a request; other requests in its conversation wait until the context ends.

        None if memory is off, if the request names neither a conversation nor a user, or if all
        messages are system messages. Raises InvalidRequest, and NotFound for a conversation of
        another user.
        """
        if not chat.has_memory or not chat.history:
            yield None
            return
        with ExitStack() as locks:
            conversation_id = chat.conversation_id
            if conversation_id is None:
                locks.enter_context(self._locks.held((project_key, "user", str(chat.user))))
                conversation_id = self._continued_conversation(project_key, chat) or new_id("conv")
            locks.enter_context(self._locks.held((project_key, "conversation", conversation_id)))
            yield self._locate(project_key, chat, conversation_id)

    def _locate(self, project_key: int, chat: ChatRequest, conversation_id: str) -> LocatedRequest:
        with self._log.read() as snapshot:
            conversation = snapshot.conversations.get(project_key, conversation_id)
            if conversation is None:
                alignment = Alignment(parent_key=None, first_new=0)
            else:
                _check_user(conversation, chat)
                alignment = (
                    self._align(snapshot, conversation, chat)
                    if chat.append_point is None or chat.is_retry
                    else self._appended(snapshot, conversation, chat, chat.append_point)
                )
        return LocatedRequest(chat, project_key, conversation_id, conversation, alignment)

    def _continued_conversation(self, project_key: int, chat: ChatRequest) -> str | None:
        """Return the user's conversation that the history continues: the longest match."""
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(project_key, str(chat.user))
            if user_key is None:
                return None
            newest = snapshot.conversations.newest(project_key, user_key, NEWEST_CONVERSATIONS)
            aligned = [
                (self._align(snapshot, conversation, chat), conversation) for conversation in newest
            ]
        matches = [
            (alignment.matched, conversation.id)
            for alignment, conversation in aligned
            if _is_continued(alignment, conversation, chat)
        ]
        return max(matches, key=lambda match: match[0])[1] if matches else None

    def _appended(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        chat: ChatRequest,
        point: AppendPoint,
    ) -> Alignment:
        """Return the place of messages that are appended below a turn, or below the head."""
        tree = snapshot.turns.tree_points(conversation.key, _MIN_TREE_TURNS)
        digests = self._hashes.of_turns(snapshot, conversation.key, [node.key for node in tree])
        sent = [message_hash(entry.message) for entry in chat.history]
        return append_alignment(tree, digests, conversation.head_key, point, sent)

    def _align(
        self, snapshot: ReadTransaction, conversation: Conversation, chat: ChatRequest
    ) -> Alignment:
        limit = max(_MIN_TREE_TURNS, 2 * len(chat.history))
        points = snapshot.turns.tree_points(conversation.key, limit)
        keys = [point.key for point in points]
        digests = self._hashes.of_turns(snapshot, conversation.key, keys)
        fresh_since = clock.now() - self._retry_window
        tree = [_node(point, digests[point.key], fresh_since) for point in points]
        sent = [_sent(entry) for entry in chat.history]
        return align(tree, conversation.head_key, sent, is_retry=chat.is_retry)


class _KeyedLocks:
    """A lock for each key that is held or waited for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[tuple[object, ...], tuple[threading.Lock, int]] = {}

    @contextmanager
    def held(self, key: tuple[object, ...]) -> Iterator[None]:
        """Hold the lock of a key."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = lock, users - 1


def _check_user(conversation: Conversation, chat: ChatRequest) -> None:
    """Raise NotFound for a conversation of another user.

    A conversation without a user is open to all but keys that are bound to a user. If nothing names
    a user, the conversation's user is meant rather than the default user.
    """
    identity = chat.identity
    is_open = identity.user is None or identity.is_default_user
    if not is_open and not identity.may_continue(conversation.user):
        raise NotFound(f"No conversation {conversation.id!r}.", param="conversation_id")


def _is_continued(alignment: Alignment, conversation: Conversation, chat: ChatRequest) -> bool:
    """Return whether a history continues a conversation: an exchange, or its only turn again."""
    is_only_turn = alignment.first_new == len(chat.history) and conversation.next_seq == 2
    return alignment.is_exchange or (alignment.matched > 0 and is_only_turn)


def _node(point: TreePoint, digest: bytes, fresh_since: int) -> HistoryNode:
    return HistoryNode(
        key=point.key,
        parent_key=point.parent_key,
        seq=point.seq,
        active=point.active,
        role=point.role,
        digest=digest,
        id=point.id,
        optional=point.tool_group_key is not None
        or point.kind != "message"
        or point.role in SYSTEM_ROLES,
        fresh=point.stored_at >= fresh_since,
    )


def _sent(entry: HistoryMessage) -> SentMessage:
    message = entry.message
    return SentMessage(message_hash(message), role_of(message), _sent_id(message))


def _sent_id(message: Message) -> str | None:
    """Return the id of a message, if it has one.

    A value that is not a string becomes a string that no turn has as its id. So the message is new,
    and storing it raises InvalidRequest.
    """
    value = message.get("id")
    return value if value is None or isinstance(value, str) else dumps([value])
