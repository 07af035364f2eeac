"""Storing: conversations and turns, with what recall needs of them, in one transaction.

A request may come twice. Three things tell: its Idempotency-Key; the ids its items carry; and, for
clients that retry without either, a retry header with content that equals the newest turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from memory_service.conversations.preparation import SAMPLE_TURNS, Plan, Planner
from memory_service.core import clock
from memory_service.core.errors import Conflict, InvalidRequest, NotFound
from memory_service.core.models import MICROSECONDS, Conversation, Metadata, NewTurn, Turn
from memory_service.items.conversation_items import new_id
from memory_service.text.chunking import passage_text
from memory_service.text.spans import Span
from memory_service.text.terms import terms
from memory_service.turn_log.log import TurnLog
from memory_service.turn_log.transactions import ReadTransaction, WriteTransaction

_FIRST_SEQ = 1
"""The `seq` of a conversation's first turn."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How to tell whether a request was made before."""

    key: str | None
    request_hash: bytes
    is_retry: bool


@dataclass(frozen=True, slots=True)
class NewConversation:
    """What a caller says of a conversation when it is made."""

    id: str | None
    user: str | None
    title: str | None
    metadata: Metadata
    created_at: int | None = None
    summaries: bool | None = None


class Below(Enum):
    """Where an append hangs if not below a named item."""

    HEAD = "head"
    ROOT = "root"


class Switch(Enum):
    """What a caller makes of something that the settings decide for those who say nothing."""

    ON = True
    OFF = False
    AS_SET = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation, the turns that this request is about, and how many of them are new."""

    conversation: Conversation
    turns: Sequence[Turn] = ()
    new: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long requests are remembered."""

    retry_window_seconds: int
    idempotency_hours: int


class ConversationWriter:
    """The use cases that write what was said."""

    def __init__(
        self, log: TurnLog, planner: Planner, limits: Limits, on_stored: Callable[[], None]
    ) -> None:
        self._log = log
        self._planner = planner
        self._limits = limits
        self._on_stored = on_stored

    def create_conversation(
        self,
        project_key: int,
        new: NewConversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
        plan: Plan | None = None,
    ) -> Stored:
        """Make a conversation with its first turns; raises Conflict when its id is taken.

        `plan` is one made before, of no use unless it is of these turns, or of more.
        """
        _check_ids(turns)
        if plan is None or not plan.is_for(None, turns):
            plan = self._planner.plan(turns)
        with self._log.write() as transaction:
            done = self._done_before(transaction, project_key, attempt)
            if done is None and new.id is not None:
                done = self._existing(transaction, project_key, new, turns, attempt)
            if done is not None:
                return done
            _known(transaction, project_key, None, turns)
            conversation = self._create(transaction, project_key, new)
            conversation, stored = self._append(
                transaction, project_key, conversation, turns, plan, None, gap_before=False
            )
            self._remember(transaction, project_key, attempt, conversation, stored)
        self._on_stored()
        return Stored(conversation, stored, len(stored))

    def append(
        self,
        project_key: int,
        conversation_id: str,
        turns: Sequence[NewTurn],
        attempt: Attempt,
        *,
        below: str | Below = Below.HEAD,
        gap_before: bool = False,
        plan: Plan | None = None,
    ) -> Stored:
        """Append turns below the head, or below a named item or the root: a branch that is active.

        Items whose id is known with the same content are returned as they are stored. `plan` is
        one made before, of these turns or more. Raises NotFound for an unknown conversation or
        parent, Conflict for an id used for other content.
        """
        _check_ids(turns)
        if plan is None or not plan.is_for(None, turns):
            plan = self._plan(project_key, conversation_id, turns)
        with self._log.write() as transaction:
            done = self._done_before(transaction, project_key, attempt)
            if done is not None:
                return done
            conversation = _locked(transaction, project_key, conversation_id)
            parent = _parent(transaction, project_key, conversation, below)
            retried = self._retried(transaction, conversation, turns, attempt)
            if retried is not None and _is_below(retried[0], below, parent):
                return Stored(conversation, retried)
            known = _known(transaction, project_key, conversation, turns)
            fresh = [turn for turn in turns if turn.id not in known]
            if below is not Below.HEAD and known and fresh:
                parent = _last_known(turns, known)
            conversation, stored = self._append(
                transaction, project_key, conversation, fresh, plan, parent, gap_before=gap_before
            )
            known.update((turn.id, turn) for turn in stored)
            result = [known[turn.id] for turn in turns]
            self._remember(transaction, project_key, attempt, conversation, result)
        self._on_stored()
        return Stored(conversation, result, len(fresh))

    def append_answers(
        self,
        project_key: int,
        conversation_id: str,
        question_id: str,
        answers: Sequence[NewTurn],
    ) -> Stored:
        """Append a model's answers below the turn that asked: the first active, others beside it.

        None is active if the conversation went on elsewhere meanwhile. Raises NotFound if it, or
        the question, was forgotten.
        """
        plan = self._plan(project_key, conversation_id, answers)
        with self._log.write() as transaction:
            conversation = _locked(transaction, project_key, conversation_id)
            question = _parent(transaction, project_key, conversation, question_id)
            goes_on = question is not None and question.key == conversation.head_key
            turns: list[Turn] = []
            for number in range(len(answers) - 1, -1, -1):
                conversation, stored = self._append(
                    transaction,
                    project_key,
                    conversation,
                    [answers[number]],
                    plan,
                    question,
                    gap_before=False,
                    active=goes_on and number == 0,
                )
                turns = [*stored, *turns]
        self._on_stored()
        return Stored(conversation, turns, len(turns))

    def update_conversation(
        self,
        project_key: int,
        conversation_id: str,
        *,
        metadata: Metadata | None,
        title: str | None,
        head_id: str | None,
        attempt: Attempt,
        summaries: Switch | None = None,
    ) -> Conversation:
        """Replace metadata or title, activate another branch, switch summaries: each if given."""
        with self._log.write() as transaction:
            done = self._done_before(transaction, project_key, attempt)
            if done is not None:
                return done.conversation
            conversation = _locked(transaction, project_key, conversation_id)
            transaction.conversations.update(conversation.key, metadata=metadata, title=title)
            if summaries is not None:
                transaction.conversations.set_summaries(conversation.key, wanted=summaries.value)
                transaction.summary_queue.add(conversation.key)
            if head_id is not None:
                head = transaction.turns.get(project_key, conversation.key, head_id)
                if head is None:
                    raise NotFound(f"No item {head_id!r} in this conversation.", param="head")
                transaction.turns.set_head(conversation.key, head)
            changed = _found(transaction, project_key, conversation_id)
            self._remember(transaction, project_key, attempt, changed, ())
        return changed

    def _create(
        self, transaction: WriteTransaction, project_key: int, new: NewConversation
    ) -> Conversation:
        now = clock.now()
        user_key = (
            None if new.user is None else transaction.users.ensure(project_key, new.user, now)
        )
        return transaction.conversations.create(
            project_key,
            new.id or new_id("conv"),
            user_key=user_key,
            title=new.title,
            metadata=new.metadata,
            created_at=now if new.created_at is None else new.created_at,
            now=now,
            summaries=new.summaries,
        )

    def _append(
        self,
        transaction: WriteTransaction,
        project_key: int,
        conversation: Conversation,
        turns: Sequence[NewTurn],
        plan: Plan,
        parent: Turn | None,
        *,
        gap_before: bool,
        active: bool = True,
    ) -> tuple[Conversation, list[Turn]]:
        if not turns:
            return conversation, []
        now = clock.now()
        if not plan.is_for(conversation.language, turns):
            # Another append fixed the language since the plan was made.
            plan = self._planner.plan(turns, conversation.language)
        stored = transaction.turns.append(
            project_key,
            conversation,
            turns,
            parent=parent,
            gap_before=gap_before,
            now=now,
            active=active,
        )
        if conversation.language is None and plan.language is not None:
            transaction.conversations.set_language(conversation.key, plan.language)
            if conversation.next_seq > _FIRST_SEQ:
                self._analyse_again(transaction, conversation, plan.language)
        transaction.passages.add(
            conversation.key,
            {turn.key: plan.of(new) for turn, new in zip(stored, turns, strict=True)},
        )
        if conversation.user_key is not None:
            transaction.users.mark_seen(conversation.user_key, now)
        grown = replace(
            conversation,
            head_key=stored[-1].key if active else conversation.head_key,
            next_seq=stored[-1].seq + 1,
            language=conversation.language or plan.language,
        )
        return grown, stored

    def _plan(self, project_key: int, conversation_id: str, turns: Sequence[NewTurn]) -> Plan:
        """Return the plan of turns to append; raises NotFound for an unknown conversation."""
        with self._log.read() as snapshot:
            conversation = _found(snapshot, project_key, conversation_id)
            sample = _sample(snapshot, conversation)
        return self._planner.plan(turns, conversation.language, sample)

    def _analyse_again(
        self, transaction: WriteTransaction, conversation: Conversation, language: str
    ) -> None:
        """Make the terms of the few turns stored before the language was known anew."""
        before = {turn.key: turn for turn in transaction.turns.all(conversation.key)}
        transaction.postings.replace(
            conversation.key,
            {
                passage.key: terms(
                    passage_text(turn.speaker, turn.text, Span(passage.start, passage.end)),
                    language,
                )
                for passage in transaction.passages.of_turns(before)
                for turn in [before[passage.turn_key]]
            },
        )

    def _existing(
        self,
        transaction: WriteTransaction,
        project_key: int,
        new: NewConversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> Stored | None:
        """Return what this retry has made before; raises Conflict if the id is taken otherwise."""
        found = transaction.conversations.get(project_key, new.id or "")
        if found is None:
            return None
        stored = transaction.turns.in_range(found.key, 1, len(turns))
        same = (
            found.user == new.user
            and found.title == new.title
            and dict(found.metadata) == dict(new.metadata)
            and found.summaries == new.summaries
            and [turn.content_hash for turn in stored] == [turn.content_hash for turn in turns]
        )
        fresh = transaction.conversations.stored_at(found.key) >= self._retry_horizon()
        if attempt.is_retry and same and fresh:
            return Stored(found, stored)
        raise Conflict(f"A conversation {new.id!r} exists already.", param="id", code="id_exists")

    def stored_before(
        self,
        project_key: int,
        conversation_id: str,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> Sequence[Turn]:
        """Return the turns of an append that a repeated request has made already, else none.

        Raises NotFound for an unknown conversation, Conflict for a key used for other content.
        """
        with self._log.read() as snapshot:
            done = self._done_before(snapshot, project_key, attempt)
            if done is not None:
                return done.turns
            conversation = _found(snapshot, project_key, conversation_id)
            return self._retried(snapshot, conversation, turns, attempt) or ()

    def _retried(
        self,
        snapshot: ReadTransaction,
        conversation: Conversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> list[Turn] | None:
        """Return the newest turns if they are what a retry without a key has stored before."""
        if not attempt.is_retry or not turns:
            return None
        newest = snapshot.turns.newest(conversation.key, len(turns))
        horizon = self._retry_horizon()
        same = len(newest) == len(turns) and all(map(_says_the_same, turns, newest))
        return newest if same and all(turn.stored_at >= horizon for turn in newest) else None

    def _retry_horizon(self) -> int:
        return clock.now() - self._limits.retry_window_seconds * MICROSECONDS

    def _done_before(
        self, snapshot: ReadTransaction, project_key: int, attempt: Attempt
    ) -> Stored | None:
        """Return what a request with this key has stored; raises Conflict for another request."""
        if attempt.key is None:
            return None
        since = clock.now() - self._limits.idempotency_hours * 3600 * MICROSECONDS
        before = snapshot.idempotency.get(project_key, attempt.key, since)
        if before is None:
            return None
        if before.request_hash != attempt.request_hash:
            raise Conflict(
                "This Idempotency-Key was used for another request.", code="idempotency_key_reused"
            )
        return _stored_by(snapshot, project_key, before.result)

    def _remember(
        self,
        transaction: WriteTransaction,
        project_key: int,
        attempt: Attempt,
        conversation: Conversation,
        turns: Sequence[Turn],
    ) -> None:
        if attempt.key is None:
            return
        now = clock.now()
        seqs = [turn.seq for turn in turns]
        transaction.idempotency.add(
            project_key,
            attempt.key,
            attempt.request_hash,
            {"conversation": conversation.key, "turns": [turn.key for turn in turns]},
            conversation_key=conversation.key,
            seqs=(min(seqs), max(seqs)) if seqs else None,
            now=now,
            forget_before=now - self._limits.idempotency_hours * 3600 * MICROSECONDS,
        )


def _stored_by(
    snapshot: ReadTransaction, project_key: int, result: Mapping[str, Any]
) -> Stored | None:
    conversation = snapshot.conversations.by_keys(project_key, [result["conversation"]]).get(
        result["conversation"]
    )
    turns = snapshot.turns.by_keys(project_key, result["turns"])
    if conversation is None:
        return None
    return Stored(conversation, [turns[key] for key in result["turns"] if key in turns])


def _sample(snapshot: ReadTransaction, conversation: Conversation) -> str:
    if conversation.language is not None or conversation.next_seq == _FIRST_SEQ:
        return ""
    return "\n".join(
        turn.text for turn in islice(snapshot.turns.all(conversation.key), SAMPLE_TURNS)
    )


def _check_ids(turns: Sequence[NewTurn]) -> None:
    seen: set[str] = set()
    for number, turn in enumerate(turns):
        if turn.id in seen:
            raise InvalidRequest(
                f"The id {turn.id!r} occurs twice in this call.", param=f"items.{number}.id"
            )
        seen.add(turn.id)


def _known(
    snapshot: ReadTransaction,
    project_key: int,
    conversation: Conversation | None,
    turns: Sequence[NewTurn],
) -> dict[str, Turn]:
    """Return the stored turns of the items that are there already; raises Conflict for others.

    `conversation` is None where a new one is to be made: no item can be there already.
    """
    known = snapshot.turns.by_ids(project_key, [turn.id for turn in turns if turn.id_given])
    for number, turn in enumerate(turns):
        stored = known.get(turn.id)
        if stored is None:
            continue
        if conversation is None or stored.conversation_key != conversation.key:
            where = "in another conversation"
        elif stored.content_hash != turn.content_hash:
            where = "with other content"
        else:
            continue
        raise Conflict(
            f"An item {turn.id!r} exists already {where}.",
            param=f"items.{number}.id",
            code="id_exists",
        )
    return known


def _parent(
    snapshot: ReadTransaction, project_key: int, conversation: Conversation, below: str | Below
) -> Turn | None:
    if isinstance(below, Below):
        head = conversation.head_key if below is Below.HEAD else None
        return None if head is None else snapshot.turns.by_keys(project_key, [head])[head]
    parent = snapshot.turns.get(project_key, conversation.key, below)
    if parent is None:
        raise NotFound(f"No item {below!r} in this conversation.", param="parent")
    return parent


def _is_below(turn: Turn, below: str | Below, parent: Turn | None) -> bool:
    """Return whether a stored turn hangs where an append wants its first; the head has moved on."""
    return below is Below.HEAD or turn.parent_key == (parent.key if parent else None)


def _says_the_same(new: NewTurn, stored: Turn) -> bool:
    """Return whether a stored turn can be what a request without a key has stored before."""
    return (
        new.content_hash == stored.content_hash
        and (not new.id_given or new.id == stored.id)
        and new.created_at in (None, stored.created_at)
    )


def _last_known(turns: Sequence[NewTurn], known: Mapping[str, Turn]) -> Turn:
    """Return the stored turn that the new ones follow; raises Conflict if they are mixed up."""
    count = len(known)
    if any(turn.id not in known for turn in turns[:count]):
        raise Conflict(
            "Below a named parent, items that are stored already must come before the new ones.",
            param="items",
        )
    return known[turns[count - 1].id]


def _found(snapshot: ReadTransaction, project_key: int, conversation_id: str) -> Conversation:
    return _or_missing(snapshot.conversations.get(project_key, conversation_id), conversation_id)


def _locked(transaction: WriteTransaction, project_key: int, conversation_id: str) -> Conversation:
    return _or_missing(
        transaction.conversations.lock(project_key, conversation_id), conversation_id
    )


def _or_missing(conversation: Conversation | None, conversation_id: str) -> Conversation:
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return conversation
