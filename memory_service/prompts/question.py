"""The question of a prompt: its newest user message, what to search for, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from memory_service.core.models import PromptState, Turn
from memory_service.items.chat_messages import Message
from memory_service.items.item_hash import content_hash
from memory_service.items.item_text import text_of_parts
from memory_service.prompts.location import PromptLocation
from memory_service.prompts.request import PromptRequest
from memory_service.text.terms import terms

MIN_QUERY_WORDS = 4
"""A shorter question ("and then?") is searched together with the turns just before it."""

_CONTEXT_TURNS = 2


@dataclass(frozen=True, slots=True)
class UserMessageIdentity:
    """The identity of the user message that a prompt is for.

    `parent_key` is the turn that the message follows. `digest` is a hash of its content and of the
    limits of the prompt. Both are the same while the message is new input and once it is stored.
    """

    parent_key: int | None
    digest: bytes

    def is_of(self, state: PromptState) -> bool:
        """Return whether the conversation's last prompt was for the same message and limits."""
        return (self.parent_key, self.digest) == (state.input_parent_key, state.input_hash)


def user_message_identity(
    location: PromptLocation, request: PromptRequest, top_k: int
) -> UserMessageIdentity | None:
    """Return the identity of the newest user message; None if there is no such message."""
    sizes = (request.recent_tokens, request.recent_turns, request.token_budget)
    limits = repr((location.scope, top_k, *sizes)).encode()
    if request.user_message is not None and not request.stored_input:
        parent_key = location.conversation.head_key
        message_hash = content_hash(request.user_message, "message")
    else:
        turn = _last_user_turn([*location.turns, *request.stored_input])
        if turn is None:
            return None
        parent_key, message_hash = turn.parent_key, turn.content_hash
    return UserMessageIdentity(parent_key, hashlib.sha256(message_hash + limits).digest())


def query_text(user_message: Message | None, turns: Sequence[Turn]) -> tuple[str, str]:
    """Return the text to search for, and its context: the last two turns if the text is short.

    `turns` are those before the input, oldest first. In a loop of tool calls there is no new user
    message, and the question is one of the turns.
    """
    if user_message is None:
        text, before = _stored_question(turns)
    else:
        text, before = text_of_parts(user_message.get("content")), turns
    # Without a language every word counts, and a text without spaces has its pairs of characters.
    if not text or len(terms(text, None)) >= MIN_QUERY_WORDS:
        return text, ""
    return text, "\n".join(turn.text for turn in before[-_CONTEXT_TURNS:])


def _stored_question(turns: Sequence[Turn]) -> tuple[str, Sequence[Turn]]:
    """Return the text of the last user turn, and the turns before it."""
    numbers = [number for number, turn in enumerate(turns) if turn.role == "user"]
    return (turns[numbers[-1]].text, turns[: numbers[-1]]) if numbers else ("", ())


def _last_user_turn(turns: Sequence[Turn]) -> Turn | None:
    return next((turn for turn in reversed(turns) if turn.role == "user"), None)
