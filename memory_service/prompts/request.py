"""Requests for a prompt: the parameters that a caller gives, and the defaults of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from memory_service.core.models import Conversation, Turn
from memory_service.items.chat_messages import Message
from memory_service.prompts.client_history import ClientHistory
from memory_service.tokens.context_window import ContextWindow

RECENT_MEDIA_BYTES = 8 * 1024 * 1024
"""The size of the stored media that a recent window has by default."""

ScopeName = Literal["user", "conversation"]

MAX_RECENT_TOKENS, MAX_RECENT_TURNS = 10_000_000, 1_000
"""The largest recent window that a request may ask for."""


class WindowSize(NamedTuple):
    """The largest size of a recent window."""

    tokens: int
    turns: int


@dataclass(frozen=True, slots=True)
class UnstoredBranch:
    """A conversation that is not in the log, and its turns before the input."""

    conversation: Conversation
    turns: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """The parameters of one prompt; None takes the default.

    `input` are the new messages. `stored_input` are their turns if they are stored already; the
    recent window then ends before them. `system` are whole messages and replace `instructions`.
    Turns with `hidden` keys are left out: they are the questions of parallel requests.
    No state is kept for an `unstored` conversation. `correction` is the number of tokens that the
    upstream counts for one of ours. A prompt that `is_forwarded` goes to an upstream, which decides
    whether it is too long; the `model` then has the name that it has there. `now` is in
    microseconds. With the `history` of a client, which ends with the input, the prompt has the
    client's own messages, in roles that strict chat templates accept. Without `vendor_fields`, its
    other messages have OpenAI's fields only.
    """

    input: Sequence[Message]
    instructions: str | None = None
    model: str | None = None
    token_budget: int | None = None
    max_output_tokens: int | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    recent_tokens: int | None = None
    recent_turns: int | None = None
    top_k: int | None = None
    scope: ScopeName | None = None
    now: int | None = None
    utc_offset_minutes: int | None = None
    system: Sequence[Message] | None = None
    stored_input: Sequence[Turn] = ()
    hidden: frozenset[int] = frozenset()
    unstored: UnstoredBranch | None = None
    correction: float = 1.0
    history: ClientHistory | None = None
    is_forwarded: bool = False
    upstream_name: str | None = None
    vendor_fields: bool = True

    @property
    def user_message(self) -> Message | None:
        """The last user message of the input; None in a loop of tool calls."""
        user_messages = [message for message in self.input if message.get("role") == "user"]
        return user_messages[-1] if user_messages else None


@dataclass(frozen=True, slots=True)
class PromptDefaults:
    """The settings for prompts.

    `context_window` returns the window of a model on an upstream; without one, on that which serves
    the model.
    """

    token_budget: int | None
    reserved_output_tokens: int
    recent_tokens: int
    recent_turns: int
    top_k: int
    context_window: Callable[[str | None, str | None], ContextWindow]
    recent_media_bytes: int = RECENT_MEDIA_BYTES

    def window_size(self, request: PromptRequest) -> WindowSize:
        """Return the largest size of the recent window.

        A request that gives only a number of turns is not limited in tokens, and the reverse.
        """
        tokens, turns = request.recent_tokens, request.recent_turns
        if tokens is None and turns is None:
            return WindowSize(self.recent_tokens, self.recent_turns)
        return WindowSize(
            MAX_RECENT_TOKENS if tokens is None else tokens,
            MAX_RECENT_TURNS if turns is None else turns,
        )

    def top_k_of(self, request: PromptRequest) -> int:
        """Return the most turns that may be recalled."""
        return self.top_k if request.top_k is None else request.top_k
