"""Store the new messages of a request and its answer in a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.conversations.echo import with_echoes_marked
from memory_service.conversations.idempotency import UNIDENTIFIED
from memory_service.conversations.requests import (
    Below,
    ConversationChange,
    NewConversation,
    WriteResult,
)
from memory_service.conversations.writer import ConversationWriter
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.gateway.answers import AnswerCollector, incomplete
from memory_service.gateway.input_turns import (
    StoredRequest,
    aligned_turn,
    input_ending_with,
    new_turns,
)
from memory_service.gateway.locating import LocatedRequest
from memory_service.items.chat_messages import Message
from memory_service.items.conversation_items import ItemLimits, parse_item
from memory_service.items.storable_messages import storable_message
from memory_service.items.strict_json import dumps, escaped_surrogates
from memory_service.turn_log.log import TurnLog


class RequestStorer:
    """Stores the new messages of located requests."""

    def __init__(self, log: TurnLog, writer: ConversationWriter, limits: ItemLimits) -> None:
        self._log = log
        self._writer = writer
        self._limits = limits

    def store(self, located: LocatedRequest) -> StoredRequest:
        """Store the new messages of a request, or make the turn that it repeats the head.

        Raises InvalidRequest, Conflict for an id that is used for another message, and NotFound if
        the turn that the request continues was deleted.
        """
        turns = new_turns(located, self._limits)
        if located.conversation is None:
            return self._with_input(located, self._create(located, turns))
        if turns:
            return self._with_input(located, self._append(located, located.conversation, turns))
        return self._ask_again(located, located.conversation)

    def _create(self, located: LocatedRequest, turns: Sequence[NewTurn]) -> WriteResult:
        new = NewConversation(located.conversation_id, located.chat.user, title=None, metadata={})
        return self._writer.create_conversation(located.project_key, new, turns, UNIDENTIFIED)

    def _append(
        self, located: LocatedRequest, conversation: Conversation, turns: Sequence[NewTurn]
    ) -> WriteResult:
        return self._writer.append(
            located.project_key,
            located.conversation_id,
            turns,
            UNIDENTIFIED,
            below=self._below(located, conversation),
            follows_key=located.alignment.follows_key,
            asked_keys=located.alignment.exchange_keys,
        )

    def _below(self, located: LocatedRequest, conversation: Conversation) -> str | Below:
        if located.alignment.parent_key == conversation.head_key:
            return Below.HEAD
        return aligned_turn(self._log, located).id

    def _ask_again(self, located: LocatedRequest, conversation: Conversation) -> StoredRequest:
        """Return the stored turn as the input; the turns below it become another branch."""
        turn = aligned_turn(self._log, located)
        if turn.key != conversation.head_key:
            conversation = self._writer.update_conversation(
                located.project_key,
                located.conversation_id,
                ConversationChange(head_id=turn.id),
                UNIDENTIFIED,
            )
        turns = input_ending_with(self._log, turn)
        return StoredRequest(located.chat, located.project_key, conversation, turns)

    def _with_input(self, located: LocatedRequest, result: WriteResult) -> StoredRequest:
        turns, alignment = input_ending_with(self._log, result.turns[-1]), located.alignment
        return StoredRequest(
            located.chat,
            located.project_key,
            result.conversation,
            turns,
            asked_keys=[*alignment.exchange_keys, *(turn.key for turn in result.turns)],
            open_keys=alignment.open_keys,
        )


class AnswerStorer:
    """Stores the answers of the model."""

    def __init__(self, writer: ConversationWriter, limits: ItemLimits) -> None:
        self._writer = writer
        self._limits = limits

    def store(
        self, request: StoredRequest, answers: AnswerCollector, recalled: Sequence[str]
    ) -> Sequence[Turn]:
        """Store the answers below the input, as siblings; `recalled` texts in them are echoes.

        Raises NotFound if the conversation or the input was deleted, InvalidRequest for an answer
        that the log cannot hold.
        """
        turns = [
            self._turn(message if answers.is_complete else incomplete(message), recalled)
            for message in answers.messages()
        ]
        if not turns:
            return ()
        return self._writer.append_answers(
            request.project_key,
            request.conversation.id,
            request.input_turns[-1].id,
            turns,
            asked_keys=request.asked_keys,
        ).turns

    def _turn(self, message: Message, recalled: Sequence[str]) -> NewTurn:
        answer = storable_message(message)
        raw = escaped_surrogates(dumps(answer))
        # A name that the upstream gives its model is no name of a speaker.
        turn = parse_item(answer, raw, {"name": None}, self._limits, "answer")
        return with_echoes_marked(turn, recalled, "answer")
