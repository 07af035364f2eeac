"""Locating a prompt: its conversation, system messages, and the turns before the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation, Turn
from memory_service.items.chat_messages import Message, message_groups
from memory_service.items.conversation_items import SYSTEM_ROLES
from memory_service.prompts.alternation import joined
from memory_service.prompts.request import PromptRequest, ScopeName, WindowSize
from memory_service.turn_log.transactions import ReadTransaction

_TOOL_GROUP_MARGIN = 64
"""This many more turns are read to complete a tool group that the limit cuts."""
_TOOL_LOOP_MARGIN = 256
"""This many more turns are read in a loop of tool calls, because a loop may have as many."""
_SYSTEM_TURNS = 64
_FIRST_READ, _READ_GROWTH = 64, 4
"""The turns that are read first, and how many times as many are read if they are too few."""
_CHARACTERS_PER_TOKEN = 8
"""More than texts of any language have, so that enough turns are read to fill a window."""


@dataclass(frozen=True, slots=True)
class PromptLocation:
    """The point in a conversation at which a prompt continues.

    `turns` are the end of the active branch before the input, oldest first, without system turns.
    `scope` is what a recall searches.
    """

    project_key: int
    conversation: Conversation
    scope: ScopeName
    system: Sequence[Message]
    turns: Sequence[Turn]


def locate(
    snapshot: ReadTransaction,
    project_key: int,
    conversation_id: str,
    request: PromptRequest,
    size: WindowSize,
    max_media_bytes: int,
) -> PromptLocation:
    """Return where a prompt continues; raises NotFound if there is no such conversation.

    `size` is the largest size of the recent window, `max_media_bytes` the largest size of the media
    in it; texts stand for the media of older turns.
    """
    if request.unstored is not None:
        conversation, turns = request.unstored.conversation, request.unstored.turns
    else:
        conversation = _conversation(snapshot, project_key, conversation_id)
        branch_end = _branch_end(snapshot, conversation, request, size)
        turns = _with_media(snapshot, branch_end, request, max_media_bytes)
    return PromptLocation(
        project_key=project_key,
        conversation=conversation,
        scope=request.scope or ("user" if conversation.user else "conversation"),
        system=_system_messages(snapshot, conversation, request),
        turns=[
            turn
            for turn in turns
            if turn.role not in SYSTEM_ROLES and turn.key not in request.hidden
        ],
    )


def _with_media(
    snapshot: ReadTransaction, turns: Sequence[Turn], request: PromptRequest, max_bytes: int
) -> list[Turn]:
    """Return turns with their media, or with marks if the client sent their messages again."""
    marked = snapshot.media.with_marks(turns)
    history = request.history
    sent = {} if history is None else history.of_turns([*marked, *request.stored_input])
    resent = [mark if turn.key in sent else turn for turn, mark in zip(turns, marked, strict=True)]
    return snapshot.media.with_media(resent, max_bytes=max_bytes, except_keys=sent.keys())


def _conversation(
    snapshot: ReadTransaction, project_key: int, conversation_id: str
) -> Conversation:
    conversation = snapshot.conversations.get(project_key, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param="conversation_id")
    return conversation


def _branch_end(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest, size: WindowSize
) -> list[Turn]:
    """Return the last turns before the input, and those that complete their first tool group.

    One turn more than the limit shows whether there are more. The turns of a loop of tool calls
    are not counted against the limit.
    """
    if request.user_message is None:
        return _turns_of_size(snapshot, conversation, request, size, _TOOL_LOOP_MARGIN)
    turns = _turns_of_size(snapshot, conversation, request, size, 1)
    is_cut = any(
        turn.tool_group_key is not None and turn.tool_group_key < turns[0].key for turn in turns
    )
    if is_cut:
        return _last_turns(snapshot, conversation, request, len(turns) + _TOOL_GROUP_MARGIN)
    return turns


def _turns_of_size(
    snapshot: ReadTransaction,
    conversation: Conversation,
    request: PromptRequest,
    size: WindowSize,
    margin: int,
) -> list[Turn]:
    """Return the last turns that a window of a size can hold, and `margin` turns before them."""
    limit = min(size.turns, _FIRST_READ)
    while True:
        turns = _last_turns(snapshot, conversation, request, limit + margin)
        needed = _turns_that_fill(turns, size.tokens)
        if needed is not None:
            return turns[-needed - margin :]
        if len(turns) < limit + margin or limit == size.turns:
            return turns
        limit = min(size.turns, limit * _READ_GROWTH)


def _turns_that_fill(turns: Sequence[Turn], tokens: int) -> int | None:
    """Return how many of the last turns fill a window; None if all of them may fit."""
    characters = accumulate(len(turn.text) for turn in reversed(turns))
    limit = tokens * _CHARACTERS_PER_TOKEN
    return next((count for count, sum_ in enumerate(characters, start=1) if sum_ > limit), None)


def _last_turns(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest, limit: int
) -> list[Turn]:
    if request.stored_input:
        return snapshot.turns.before(request.stored_input[0], limit)
    return snapshot.turns.newest(conversation.key, limit)


def _system_messages(
    snapshot: ReadTransaction, conversation: Conversation, request: PromptRequest
) -> list[Message]:
    """Return the request's system messages, or else those that begin the conversation.

    Stored ones are joined for a client's history: strict chat templates accept one.
    """
    if request.system:
        return list(request.system)
    if request.instructions is not None:
        return [{"role": "system", "content": request.instructions}]
    first = snapshot.turns.page(conversation.key, None, 1, "asc").data
    if not first or first[0].role not in SYSTEM_ROLES:
        return []
    page = snapshot.turns.page(conversation.key, None, _SYSTEM_TURNS, "asc").data
    system_turns = takewhile(lambda turn: turn.role in SYSTEM_ROLES, page)
    messages = [message for turn in system_turns for message in message_groups([turn])[0].messages]
    return messages if request.history is None else joined(messages)
