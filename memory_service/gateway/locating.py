"""Locate a request: find its conversation, and the position of its history in it.

A request names its conversation or its user. If it names only the user, its conversation is found
by the hashes of the sent messages, however many the user has; a history that continues none of them
begins a new one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import MICROSECONDS, Conversation
from memory_service.gateway.appending import append_alignment
from memory_service.gateway.history_alignment import Alignment, HistoryNode, SentMessage, align
from memory_service.gateway.pending import PendingTurns
from memory_service.gateway.request import AppendPoint, ChatRequest, HistoryMessage
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.items.fields import new_id
from memory_service.items.kinds import role_of
from memory_service.items.message_hash import message_hash
from memory_service.items.strict_json import dumps
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.history_index import TreePoint, owner_key
from memory_service.turn_log.transactions import ReadTransaction

MAX_CONVERSATIONS = 8
"""A history without a conversation's id is compared with this many conversations of its user: those
that have most of its messages."""

_MIN_TREE_TURNS = 200
"""A history is compared with at least this many of the newest turns, and with twice its length. If
none of them matches, it is compared with as many around the newest turn that does."""

_RESEND_WINDOW = 60 * MICROSECONDS
"""How long a message that is sent again means the same turn, if its answer ended early."""

_REPEAT_WINDOW = 600 * MICROSECONDS
"""How long the first message of a conversation, sent again, asks for another answer. Later it is
the beginning of a new session."""


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
        self.pending = PendingTurns()
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
                    self._align(snapshot, conversation, _sent_messages(chat), chat)
                    if chat.append_point is None or chat.is_retry
                    else self._appended(snapshot, conversation, chat, chat.append_point)
                )
        return LocatedRequest(chat, project_key, conversation_id, conversation, alignment)

    def _continued_conversation(self, project_key: int, chat: ChatRequest) -> str | None:
        """Return the user's conversation that the history continues, if there is one."""
        sent = _sent_messages(chat)
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(project_key, str(chat.user))
            if user_key is None:
                return None
            hashes = [message.digest for message in sent]
            keys = snapshot.history_index.conversations_with(user_key, hashes, MAX_CONVERSATIONS)
            conversations = snapshot.conversations.by_keys(project_key, keys)
            aligned = [
                (self._align(snapshot, conversations[key], sent, chat), conversations[key])
                for key in keys
            ]
        return _continued(aligned)

    def _appended(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        chat: ChatRequest,
        point: AppendPoint,
    ) -> Alignment:
        """Return the place of messages that are appended below a turn, or below the head."""
        tree = snapshot.history_index.tree_points(conversation.key, _MIN_TREE_TURNS)
        pending = self.pending.keys(conversation.key)
        sent = [message_hash(entry.message) for entry in chat.history]
        return append_alignment(tree, conversation.head_key, point, sent, pending)

    def _align(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        sent: Sequence[SentMessage],
        chat: ChatRequest,
    ) -> Alignment:
        limit = max(_MIN_TREE_TURNS, 2 * len(sent))
        points = snapshot.history_index.tree_points(conversation.key, limit)
        alignment = self._aligned(snapshot, conversation, points, sent, chat)
        if alignment.first_new or len(sent) == 1 or len(points) < limit:
            return alignment
        older = _older_points(snapshot, conversation, sent, limit)
        return self._aligned(snapshot, conversation, [*points, *older], sent, chat)

    def _aligned(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        points: Sequence[TreePoint],
        sent: Sequence[SentMessage],
        chat: ChatRequest,
    ) -> Alignment:
        now, pending = clock.now(), self.pending.keys(conversation.key)
        open_keys = _open_keys(conversation, points, now)
        broken_off = _broken_off_key(snapshot, conversation, points, sent, now)
        tree = [
            replace(
                _node(point),
                fresh=point.stored_at >= now - self._retry_window,
                old=point.stored_at < now - _REPEAT_WINDOW,
                pending=point.key in pending,
                open=point.key in open_keys,
                broken_off=point.key == broken_off,
            )
            for point in {point.key: point for point in points}.values()
        ]
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


def _continued(aligned: Sequence[tuple[Alignment, Conversation]]) -> str | None:
    """Return the conversation that a history continues: the longest match, at the head if it can.

    A match that has the history's beginning is better than one of its end. None if there is no
    match, or if the history branches off from several conversations: they begin in the same way,
    and it is a new one that does so too.
    """
    candidates = [
        (
            (
                alignment.is_whole,
                alignment.first_new,
                alignment.matched,
                at_head,
            ),
            conversation.id,
        )
        for alignment, conversation in aligned
        if alignment.is_continuation
        for at_head in [alignment.parent_key == conversation.head_key]
    ]
    if not candidates:
        return None
    rank, conversation_id = max(candidates, key=lambda candidate: candidate[0])
    is_shared = [candidate[0] for candidate in candidates].count(rank) > 1
    return None if is_shared and not rank[-1] else conversation_id


def _older_points(
    snapshot: ReadTransaction,
    conversation: Conversation,
    sent: Sequence[SentMessage],
    limit: int,
) -> Sequence[TreePoint]:
    """Return the turns around the newest one that equals a sent message, however old it is."""
    seq = snapshot.history_index.last_match(
        owner_key(conversation), conversation.key, [message.digest for message in sent]
    )
    if seq is None:
        return ()
    return snapshot.history_index.tree_points_between(
        conversation.key, max(0, seq - limit), seq + _MIN_TREE_TURNS // 2, limit + _MIN_TREE_TURNS
    )


def _open_keys(conversation: Conversation, points: Sequence[TreePoint], now: int) -> frozenset[int]:
    """Return the last exchange if it recently ended with tool calls that have no results yet."""
    by_key = {point.key: point for point in points}
    point = by_key.get(conversation.head_key or 0)
    is_open = (
        point is not None
        and point.role == "assistant"
        and point.tool_group_key is not None
        and point.stored_at >= now - _REPEAT_WINDOW
    )
    keys: list[int] = []
    while is_open and point is not None:
        keys.append(point.key)
        point = None if point.role == "user" else by_key.get(point.parent_key or 0)
    return frozenset(keys)


def _broken_off_key(
    snapshot: ReadTransaction,
    conversation: Conversation,
    points: Sequence[TreePoint],
    sent: Sequence[SentMessage],
    now: int,
) -> int | None:
    """Return the head if it is an answer to the last sent message that recently ended early."""
    by_key = {point.key: point for point in points}
    head = by_key.get(conversation.head_key or 0)
    question = by_key.get((head and head.parent_key) or 0)
    if head is None or question is None or head.role != "assistant":
        return None
    if question.message_hash != sent[-1].digest or head.stored_at < now - _RESEND_WINDOW:
        return None
    raw = snapshot.turns.raw(conversation.key, [head.key])[head.key]
    return head.key if json.loads(raw).get("status") == "incomplete" else None


def _node(point: TreePoint) -> HistoryNode:
    return HistoryNode(
        key=point.key,
        parent_key=point.parent_key,
        seq=point.seq,
        active=point.active,
        role=point.role,
        digest=point.message_hash,
        id=point.id,
        optional=point.tool_group_key is not None
        or point.kind != "message"
        or point.role in SYSTEM_ROLES,
        from_request=point.from_request,
        follows_key=point.follows_key,
    )


def _sent_messages(chat: ChatRequest) -> Sequence[SentMessage]:
    return [
        SentMessage(message_hash(message), role_of(message), _sent_id(message))
        for _, message in chat.history
    ]


def _sent_id(message: Message) -> str | None:
    """Return the id of a message, if it has one.

    A value that is not a string becomes a string that no turn has as its id. So the message is new,
    and storing it raises InvalidRequest.
    """
    value = message.get("id")
    return value if value is None or isinstance(value, str) else dumps([value])
