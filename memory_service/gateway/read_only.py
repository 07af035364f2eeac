"""Requests that read memory and store nothing (`x-memory: read`).

Their new messages become turns that are not stored. Such turns have negative keys, so that they
equal no stored turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_service.core import clock
from memory_service.core.models import Conversation, NewTurn, Turn
from memory_service.gateway.input_turns import (
    ReadOnlyRequest,
    UnstoredConversationRequest,
    aligned_turn,
    input_ending_with,
    new_turns,
    trailing_results,
)
from memory_service.gateway.locating import LocatedRequest
from memory_service.items.conversation_items import ItemLimits
from memory_service.items.fields import new_id
from memory_service.turn_log.log import TurnLog


class RequestReader:
    """Finds the input of located requests without storing it."""

    def __init__(self, log: TurnLog, limits: ItemLimits) -> None:
        self._log = log
        self._limits = limits

    def read(self, located: LocatedRequest) -> ReadOnlyRequest | UnstoredConversationRequest | None:
        """Return the request with its input; None if there is nothing to recall for it.

        Raises InvalidRequest, and NotFound if the turn that the request continues was deleted.
        """
        turns = new_turns(located, self._limits)
        if located.conversation is None:
            return self._without_conversation(located, turns)
        input_turns = (
            _unstored_path(turns, located.conversation, located.alignment.parent_key)
            if turns
            else input_ending_with(self._log, aligned_turn(self._log, located))
        )
        return ReadOnlyRequest(
            chat=located.chat,
            project_key=located.project_key,
            conversation=located.conversation,
            input_turns=input_turns,
        )

    def _without_conversation(
        self, located: LocatedRequest, turns: Sequence[NewTurn]
    ) -> UnstoredConversationRequest | None:
        """Return a request in an unstored conversation; None if its user is not stored."""
        user = located.chat.user
        if user is None or located.chat.headers.scope == "conversation":
            return None
        with self._log.read() as snapshot:
            user_key = snapshot.users.key_of(located.project_key, user)
        if user_key is None:
            return None
        conversation = _unstored_conversation(user_key, user)
        path = _unstored_path(turns, conversation, None)
        count = len(trailing_results(path)) or 1
        return UnstoredConversationRequest(
            chat=located.chat,
            project_key=located.project_key,
            conversation=conversation,
            input_turns=path[-count:],
            earlier_turns=path[:-count],
        )


def _unstored_conversation(user_key: int, user: str) -> Conversation:
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


def _unstored_path(
    turns: Sequence[NewTurn], conversation: Conversation, parent_key: int | None
) -> list[Turn]:
    """Return new turns in the form of stored ones, with the tool groups that they would have."""
    path: list[Turn] = []
    group_of_call: dict[str, int] = {}
    for position, turn in enumerate(turns):
        key = position - len(turns)
        group_of_call |= dict.fromkeys(turn.calls, key)
        tool_group_key = key if turn.calls else group_of_call.get(turn.answers or "")
        path.append(_unstored_turn(turn, conversation, key, parent_key, tool_group_key))
    return path


def _unstored_turn(
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
