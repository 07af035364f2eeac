"""Create conversations, append turns to them, and change their properties.

Each request is one transaction. When it ends, the turns are durable, with their passages and terms.
A request goes through these stages:

1. `preparation` cuts the turns into passages, outside the transaction;
2. `idempotency` checks whether the request was made before; if so, nothing is stored;
3. `append_checks` compares the ids and the parent with the stored tree;
4. `appending` stores the turns; `language` fixes the language of the conversation once;
5. `idempotency` records the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memory_service.conversations.append_checks import (
    check_new_ids,
    check_unique_ids,
    is_child_of,
    last_stored_item,
    parent_turn,
    stored_items,
)
from memory_service.conversations.appending import Append, append_turns
from memory_service.conversations.idempotency import Attempt, IdempotencyChecker, WriterLimits
from memory_service.conversations.language import language_sample
from memory_service.conversations.lookup import find_conversation, find_item, lock_conversation
from memory_service.conversations.parallel import bring_to_end
from memory_service.conversations.preparation import PreparedTurns, TurnPreparer
from memory_service.conversations.requests import (
    Below,
    ConversationChange,
    NewConversation,
    WriteResult,
)
from memory_service.core import clock
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.items.fields import new_id
from memory_service.turn_log.log import TransactionSource
from memory_service.turn_log.transactions import WriteTransaction


class ConversationWriter:
    """Creates conversations and appends turns; safe for threads.

    `on_stored` is called after each transaction that stored turns.
    """

    def __init__(
        self,
        log: TransactionSource,
        preparer: TurnPreparer,
        limits: WriterLimits,
        on_stored: Callable[[], None],
    ) -> None:
        self._log = log
        self._preparer = preparer
        self._limits = limits
        self._idempotency = IdempotencyChecker(limits)
        self._on_stored = on_stored

    def within(self, batch: TransactionSource) -> ConversationWriter:
        """Return a writer whose transactions are those of a batch."""
        return ConversationWriter(batch, self._preparer, self._limits, self._on_stored)

    def create_conversation(
        self,
        project_key: int,
        new: NewConversation,
        turns: Sequence[NewTurn],
        attempt: Attempt,
        prepared: PreparedTurns | None = None,
    ) -> WriteResult:
        """Create a conversation with its first turns; raises Conflict if its id is taken.

        `prepared` turns are used if they include all of these turns.
        """
        check_unique_ids(turns)
        if prepared is None or not prepared.covers(None, turns):
            prepared = self._preparer.prepare(turns)
        with self._log.write() as transaction:
            repeated = self._idempotency.keyed_result(transaction, project_key, attempt)
            if repeated is None and new.id is not None:
                repeated = self._idempotency.repeated_creation(
                    transaction, project_key, new, turns, attempt
                )
            if repeated is not None:
                return repeated
            check_new_ids(transaction, project_key, turns)
            conversation = _create(transaction, project_key, new)
            append = Append(project_key, conversation, turns, prepared, parent=None)
            result = append_turns(transaction, self._preparer, append)
            self._idempotency.record(transaction, project_key, attempt, result)
        self._on_stored()
        return result

    def append(
        self,
        project_key: int,
        conversation_id: str,
        turns: Sequence[NewTurn],
        attempt: Attempt,
        *,
        below: str | Below = Below.HEAD,
        gap_before: bool = False,
        prepared: PreparedTurns | None = None,
        follows_key: int | None = None,
        asked_keys: Sequence[int] = (),
    ) -> WriteResult:
        """Append turns below the head, or as an active branch below a named item or the root.

        `follows_key` is the turn before them in the history of their client, if that is another.
        `asked_keys` are stored turns that they belong to, such as tool calls that they answer:
        below the head, these move to the end first (see `parallel`).

        Items whose id is stored with the same content are returned as they are stored. `prepared`
        turns are used if they include all of these turns. Raises NotFound for an unknown
        conversation or parent, Conflict for an id that is used for other content.
        """
        check_unique_ids(turns)
        if prepared is None or not prepared.covers(None, turns):
            prepared = self._prepare(project_key, conversation_id, turns)
        with self._log.write() as transaction:
            repeated = self._idempotency.keyed_result(transaction, project_key, attempt)
            if repeated is not None:
                return repeated
            conversation = lock_conversation(transaction, project_key, conversation_id)
            parent = parent_turn(transaction, project_key, conversation, below)
            earlier = self._idempotency.repeated_append(transaction, conversation, turns, attempt)
            if earlier and is_child_of(earlier[0], below, parent):
                return WriteResult(conversation, earlier)
            stored = stored_items(transaction, project_key, conversation, turns)
            new_turns = [turn for turn in turns if turn.id not in stored]
            if asked_keys and below is Below.HEAD and asked_keys[-1] != conversation.head_key:
                conversation = bring_to_end(transaction, project_key, conversation, asked_keys)
                parent = parent_turn(transaction, project_key, conversation, below)
            if below is not Below.HEAD and stored and new_turns:
                parent = last_stored_item(turns, stored)
            appended = append_turns(
                transaction,
                self._preparer,
                Append(
                    project_key,
                    conversation,
                    new_turns,
                    prepared,
                    parent,
                    gap_before,
                    follows_key=follows_key,
                ),
            )
            by_id = {**stored, **{turn.id: turn for turn in appended.turns}}
            result = WriteResult(
                appended.conversation, [by_id[turn.id] for turn in turns], appended.new_count
            )
            self._idempotency.record(transaction, project_key, attempt, result)
        self._on_stored()
        return result

    def append_answers(
        self,
        project_key: int,
        conversation_id: str,
        question_id: str,
        answers: Sequence[NewTurn],
        *,
        asked_keys: Sequence[int] = (),
    ) -> WriteResult:
        """Append a model's answers below the turn that they answer, as siblings.

        `asked_keys` are the turns that belong to the question, and the question. If only parallel
        requests were stored since, they are moved to the end of the active branch (see `parallel`).
        The first answer becomes the head, unless the conversation has continued elsewhere since.
        Raises NotFound if the conversation or the question was deleted.
        """
        chains = [[answer] for answer in answers]
        return self._append_below(project_key, conversation_id, question_id, chains, asked_keys)

    def append_answer_items(
        self,
        project_key: int,
        conversation_id: str,
        question_id: str,
        items: Sequence[NewTurn],
        *,
        asked_keys: Sequence[int] = (),
    ) -> WriteResult:
        """Append the items of a model's one answer, each below the one before.

        The last item becomes the head, unless the conversation has continued elsewhere since.
        `asked_keys` is as in `append_answers`. Raises as that does, and Conflict if the id of an
        item is used already.
        """
        check_unique_ids(items)
        return self._append_below(project_key, conversation_id, question_id, [items], asked_keys)

    def _append_below(
        self,
        project_key: int,
        conversation_id: str,
        question_id: str,
        chains: Sequence[Sequence[NewTurn]],
        asked_keys: Sequence[int],
    ) -> WriteResult:
        """Append chains of turns below a question, as siblings; the first becomes active."""
        answers = [turn for chain in chains for turn in chain]
        prepared = self._prepare(project_key, conversation_id, answers)
        with self._log.write() as transaction:
            conversation = lock_conversation(transaction, project_key, conversation_id)
            question = find_item(
                transaction, project_key, conversation.key, question_id, param="parent"
            )
            check_new_ids(transaction, project_key, answers)
            if question.key != conversation.head_key and asked_keys:
                conversation = bring_to_end(transaction, project_key, conversation, asked_keys)
                question = find_item(
                    transaction, project_key, conversation.key, question_id, param="parent"
                )
            is_head = question.key == conversation.head_key
            stored: list[Turn] = []
            # The first answer is stored last, so that the newest turn is the active one.
            for number, chain in reversed(list(enumerate(chains))):
                append = Append(
                    project_key,
                    conversation,
                    chain,
                    prepared,
                    question,
                    active=is_head and number == 0,
                )
                appended = append_turns(transaction, self._preparer, append)
                conversation = appended.conversation
                stored = [*appended.turns, *stored]
        self._on_stored()
        return WriteResult(conversation, stored, len(stored))

    def update_conversation(
        self,
        project_key: int,
        conversation_id: str,
        change: ConversationChange,
        attempt: Attempt,
    ) -> Conversation:
        """Replace properties of a conversation; raises NotFound for an unknown one, or head."""
        with self._log.write() as transaction:
            repeated = self._idempotency.keyed_result(transaction, project_key, attempt)
            if repeated is not None:
                return repeated.conversation
            _update(
                transaction,
                project_key,
                lock_conversation(transaction, project_key, conversation_id),
                change,
            )
            changed = find_conversation(transaction, project_key, conversation_id)
            self._idempotency.record(transaction, project_key, attempt, WriteResult(changed))
        return changed

    def already_stored(
        self,
        project_key: int,
        conversation_id: str,
        turns: Sequence[NewTurn],
        attempt: Attempt,
    ) -> Sequence[Turn]:
        """Return the turns that an earlier attempt of this append has stored, else none.

        Raises NotFound for an unknown conversation, Conflict for a key used for another request.
        """
        with self._log.read() as snapshot:
            repeated = self._idempotency.keyed_result(snapshot, project_key, attempt)
            if repeated is not None:
                return repeated.turns
            conversation = find_conversation(snapshot, project_key, conversation_id)
            return self._idempotency.repeated_append(snapshot, conversation, turns, attempt)

    def _prepare(
        self, project_key: int, conversation_id: str, turns: Sequence[NewTurn]
    ) -> PreparedTurns:
        """Prepare turns for a conversation; raises NotFound for an unknown one."""
        with self._log.read() as snapshot:
            conversation = find_conversation(snapshot, project_key, conversation_id)
            sample = language_sample(snapshot, conversation)
        return self._preparer.prepare(turns, conversation.language, sample)


def _create(transaction: WriteTransaction, project_key: int, new: NewConversation) -> Conversation:
    now = clock.now()
    return transaction.conversations.create(
        project_key,
        new.id or new_id("conv"),
        user_key=None if new.user is None else transaction.users.ensure(project_key, new.user, now),
        title=new.title,
        metadata=new.metadata,
        created_at=now if new.created_at is None else new.created_at,
        now=now,
        summaries=new.summaries,
    )


def _update(
    transaction: WriteTransaction,
    project_key: int,
    conversation: Conversation,
    change: ConversationChange,
) -> None:
    key = conversation.key
    transaction.conversations.update(key, metadata=change.metadata, title=change.title)
    if change.summaries is not None:
        transaction.conversations.set_summaries(key, wanted=change.summaries.value)
        transaction.summary_queue.add(key)
    if change.head_id is not None:
        head = find_item(transaction, project_key, key, change.head_id, param="head")
        transaction.turns.set_head(key, head)
