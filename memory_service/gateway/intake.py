"""What a request brings: its conversation is found, and what of it is new is stored, once."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from memory_service.conversations.echo import as_metadata, echoes
from memory_service.conversations.writer import Attempt, Below, ConversationWriter, NewConversation
from memory_service.core import clock
from memory_service.core.errors import NotFound
from memory_service.core.models import MICROSECONDS, Conversation, NewTurn, Turn
from memory_service.gateway.history_alignment import Alignment, Node, Sent, align, said_hash
from memory_service.gateway.request import ChatRequest
from memory_service.items.conversation_items import SYSTEM_ROLES, ItemLimits, parse_item
from memory_service.items.fields import new_id
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.repositories.turns import TreePoint
from memory_service.turn_log.transactions import ReadTransaction

NEWEST_CONVERSATIONS = 20
"""Conversations of a user that a history without a conversation's id is compared with."""

_MIN_TREE = 200
_MAX_HASHES = 200_000
_MAX_TAIL = 256
_ONCE = Attempt(key=None, request_hash=b"", is_retry=False)


@dataclass(frozen=True, slots=True)
class Question:
    """Where a request stands: the turns that are its input, oldest first, the last one asked.

    `before` is what was sent before the input, for a conversation that the log does not have and
    that is only read for: None for all others.
    """

    project_key: int
    conversation: Conversation
    input: Sequence[Turn]
    is_stored: bool
    before: Sequence[Turn] | None = None

    @property
    def turn(self) -> Turn:
        """The turn that the answer goes below."""
        return self.input[-1]


class Intake:
    """Finds a request's conversation and stores what is new of it."""

    def __init__(
        self,
        log: TurnLog,
        remember: ConversationWriter,
        limits: ItemLimits,
        retry_window_seconds: int,
    ) -> None:
        self._log = log
        self._remember = remember
        self._limits = limits
        self._retry_window = retry_window_seconds * MICROSECONDS
        self._hashes = _Hashes()
        self._locks = _Locks()

    def accept(self, project_key: int, request: ChatRequest) -> Question | None:
        """Store what is new; None if there is nothing to remember it under, or nothing is said.

        Raises InvalidRequest, NotFound for a conversation of somebody else, Conflict for an id that
        is used for another message.
        """
        if not request.has_memory or not request.said:
            return None
        if request.conversation_id is not None:
            return self._accept(project_key, request, request.conversation_id)
        with self._locks.held((project_key, "user", str(request.user))):
            found = self._conversation_of_user(project_key, request)
            return self._accept(project_key, request, found or new_id("conv"))

    def _accept(
        self, project_key: int, request: ChatRequest, conversation_id: str
    ) -> Question | None:
        with self._locks.held((project_key, "conversation", conversation_id)):
            with self._log.read() as snapshot:
                conversation = snapshot.conversations.get(project_key, conversation_id)
                if conversation is None:
                    aligned = Alignment(None, 0)
                else:
                    _check_user(conversation, request)
                    aligned = self._align(snapshot, conversation, request)
            if request.headers.mode == "read":
                return self._unstored(project_key, request, conversation, aligned)
            return self._stored(project_key, request, conversation_id, conversation, aligned)

    def _conversation_of_user(self, project_key: int, request: ChatRequest) -> str | None:
        """Return the user's conversation that the sent history continues, if there is one."""
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(project_key, str(request.user))
            if user_key is None:
                return None
            best: tuple[int, str] | None = None
            for one in snapshot.conversations.newest(project_key, user_key, NEWEST_CONVERSATIONS):
                aligned = self._align(snapshot, one, request)
                all_of_it = aligned.first_new == len(request.said) and one.next_seq == 2
                fits = aligned.is_exchange or (aligned.matched > 0 and all_of_it)
                if fits and (best is None or aligned.matched > best[0]):
                    best = aligned.matched, one.id
        return best[1] if best else None

    def _align(
        self, snapshot: ReadTransaction, conversation: Conversation, request: ChatRequest
    ) -> Alignment:
        points = snapshot.turns.tree_points(conversation.key, max(_MIN_TREE, 2 * len(request.said)))
        hashes = self._hashes.of(snapshot, conversation.key, points)
        since = clock.now() - self._retry_window
        tree = [
            Node(
                key=point.key,
                parent_key=point.parent_key,
                seq=point.seq,
                active=point.active,
                role=point.role,
                said=hashes[point.key],
                id=point.id,
                optional=point.tool_group_key is not None
                or point.kind != "message"
                or point.role in SYSTEM_ROLES,
                fresh=point.stored_at >= since,
            )
            for point in points
        ]
        sent = [Sent(said_hash(one), str(one["role"]), one.get("id")) for _, one in request.said]
        return align(tree, conversation.head_key, sent, is_retry=request.is_retry)

    def _stored(
        self,
        project_key: int,
        request: ChatRequest,
        conversation_id: str,
        conversation: Conversation | None,
        aligned: Alignment,
    ) -> Question:
        new = self._new_turns(request, aligned.first_new)
        if conversation is None:
            made = NewConversation(conversation_id, request.user, title=None, metadata={})
            stored = self._remember.create_conversation(project_key, made, new, _ONCE)
            return self._asked(project_key, stored.conversation, stored.turns[-1])
        if new:
            stored = self._remember.append(
                project_key,
                conversation_id,
                new,
                _ONCE,
                below=self._below(project_key, conversation, aligned),
            )
            return self._asked(project_key, stored.conversation, stored.turns[-1])
        turn = self._turn(project_key, aligned)
        if turn.key != conversation.head_key:
            # Asked again, further up: what followed is kept as a branch of its own.
            conversation = self._remember.update_conversation(
                project_key,
                conversation_id,
                metadata=None,
                title=None,
                head_id=turn.id,
                attempt=_ONCE,
            )
        return self._asked(project_key, conversation, turn)

    def _unstored(
        self,
        project_key: int,
        request: ChatRequest,
        conversation: Conversation | None,
        aligned: Alignment,
    ) -> Question | None:
        new = self._new_turns(request, aligned.first_new)
        if conversation is None:
            return self._of_user(project_key, request, new)
        if not new:
            turn = self._turn(project_key, aligned)
            asked = self._asked(project_key, conversation, turn)
            return Question(project_key, conversation, asked.input, is_stored=False)
        turns = _as_a_path(new, conversation, aligned.parent_key)
        return Question(project_key, conversation, turns, is_stored=False)

    def _of_user(
        self, project_key: int, request: ChatRequest, new: Sequence[NewTurn]
    ) -> Question | None:
        """Return the question of a conversation that is not stored; None if nobody is known."""
        if request.user is None or request.headers.scope == "conversation":
            return None
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(project_key, request.user)
        if user_key is None:
            return None
        conversation = _unknown_conversation(user_key, request.user)
        path = _as_a_path(new, conversation, None)
        begin = len(path) - 1
        while begin and path[begin].role == path[begin - 1].role == "tool":
            begin -= 1
        return Question(
            project_key, conversation, path[begin:], is_stored=False, before=path[:begin]
        )

    def _asked(self, project_key: int, conversation: Conversation, turn: Turn) -> Question:
        """Return the turn as the input, with the results that stand beside it if it is one."""
        found = [turn]
        if turn.role == "tool":
            with self._log.read() as snapshot:
                for before in reversed(snapshot.turns.before(turn, _MAX_TAIL)):
                    if before.role != "tool":
                        break
                    found.insert(0, before)
        return Question(project_key, conversation, found, is_stored=True)

    def _new_turns(self, request: ChatRequest, first_new: int) -> list[NewTurn]:
        turns = []
        for place, message in request.said[first_new:]:
            param = f"messages.{place}"
            turn = parse_item(message, request.raws[place], {}, self._limits, param)
            marks = as_metadata(echoes(turn.text, ()))
            if marks:
                metadata = {**(turn.metadata or {}), **marks}
                turn = parse_item(
                    message, turn.raw, {"id": turn.id, "metadata": metadata}, self._limits, param
                )
            turns.append(turn)
        return turns

    def _below(
        self, project_key: int, conversation: Conversation, aligned: Alignment
    ) -> str | Below:
        if aligned.parent_key == conversation.head_key:
            return Below.HEAD
        return self._turn(project_key, aligned).id

    def _turn(self, project_key: int, aligned: Alignment) -> Turn:
        key = aligned.parent_key
        with self._log.read() as snapshot:
            found = {} if key is None else snapshot.turns.by_keys(project_key, [key])
        if key is None or key not in found:
            raise NotFound("The turn that this continues was forgotten meanwhile.")
        return found[key]


class _Hashes:
    """What turns say, hashed for comparison; turns never change, so it is worked out once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hashes: OrderedDict[int, bytes] = OrderedDict()

    def of(
        self, snapshot: ReadTransaction, conversation_key: int, points: Sequence[TreePoint]
    ) -> Mapping[int, bytes]:
        """Return the hash of each turn by key."""
        with self._lock:
            known = {one.key: self._hashes[one.key] for one in points if one.key in self._hashes}
        missing = [one.key for one in points if one.key not in known]
        if not missing:
            return known
        raws = snapshot.turns.raw(conversation_key, missing)
        made = {key: said_hash(json.loads(raw)) for key, raw in raws.items()}
        with self._lock:
            self._hashes.update(made)
            while len(self._hashes) > _MAX_HASHES:
                self._hashes.popitem(last=False)
        return {**known, **made}


class _Locks:
    """One lock a name, while anybody holds it or waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[object, ...], tuple[threading.Lock, int]] = {}

    @contextmanager
    def held(self, name: tuple[object, ...]) -> Iterator[None]:
        """Hold the lock of a name."""
        with self._lock:
            lock, users = self._held.get(name, (threading.Lock(), 0))
            self._held[name] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._held.pop(name)
                if users > 1:
                    self._held[name] = lock, users - 1


def _check_user(conversation: Conversation, request: ChatRequest) -> None:
    """Raise NotFound if the conversation is another user's; one without a user is anybody's."""
    if request.user is not None and conversation.user not in (None, request.user):
        raise NotFound(f"No conversation {conversation.id!r}.", param="conversation_id")


def _unknown_conversation(user_key: int, user: str) -> Conversation:
    """Return a conversation that the log does not have, and never will."""
    return Conversation(
        key=0,
        id=new_id("conv"),
        user_key=user_key,
        user=user,
        title=None,
        metadata={},
        created_at=clock.now(),
        head_key=None,
        next_seq=1,
        language=None,
        passages=0,
        terms=0,
        erasures=0,
        path_changes=0,
        summaries=False,
    )


def _as_a_path(
    new: Sequence[NewTurn], conversation: Conversation, parent_key: int | None
) -> list[Turn]:
    """Return turns that are only asked about, and never stored, in the shape of ones that are.

    A call of tools and its results are one unit, as they are in the log.
    """
    path: list[Turn] = []
    units: dict[str, int] = {}
    for place, turn in enumerate(new):
        key = place - len(new)
        units |= dict.fromkeys(turn.calls, key)
        tool_group_key = key if turn.calls else units.get(turn.answers or "")
        path.append(_as_if_stored(turn, conversation, key, parent_key, tool_group_key))
    return path


def _as_if_stored(
    new: NewTurn,
    conversation: Conversation,
    key: int,
    parent_key: int | None,
    tool_group_key: int | None,
) -> Turn:
    now = clock.now()
    return Turn(
        key=key,
        id=new.id,
        conversation_key=conversation.key,
        seq=conversation.next_seq,
        parent_key=parent_key,
        tool_group_key=tool_group_key,
        active=False,
        gap_before=False,
        kind=new.kind,
        role=new.role,
        name=new.name,
        text=new.text,
        raw=new.raw,
        metadata=new.metadata,
        created_at=now,
        utc_offset_minutes=None,
        stored_at=now,
        content_hash=new.content_hash,
    )
