"""Build the prompts that replace the client's messages in requests to the upstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from memory_service.core.models import Prompt
from memory_service.gateway.input_turns import (
    AnswerableRequest,
    UnstoredConversationRequest,
)
from memory_service.gateway.prefix_reuse import PromptPrefixes
from memory_service.gateway.request import ChatRequest
from memory_service.items.chat_messages import Message, input_messages
from memory_service.items.message_hash import message_hash
from memory_service.items.storable_messages import storable_message
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.client_history import ClientHistory
from memory_service.prompts.request import PromptRequest, UnstoredBranch
from memory_service.tokens.counting import TokenCounter, count_messages
from memory_service.upstreams.refusals import context_limit
from memory_service.upstreams.token_corrections import TokenCorrections

SHRINK = 0.6
"""The share of a refused prompt that is kept if the upstream does not state its limit."""

_LIMIT_MARGIN = 0.95
"""The share of a stated limit that is used."""


@dataclass(frozen=True, slots=True)
class UpstreamPrompt:
    """A prompt as it is forwarded, and its tokens as the upstream counts them.

    `tokens_before` counts the client's messages, `tokens_after` the prompt, and `prefix_tokens` the
    beginning that the previous prompt had too.
    """

    prompt: Prompt
    messages: Sequence[Message]
    tokens_before: int
    tokens_after: int
    prefix_tokens: int

    @property
    def recalled_texts(self) -> Sequence[str]:
        """The texts in the recalled block."""
        return [hit.turn.text[hit.start : hit.end] for hit in self.prompt.recalled]


@dataclass(frozen=True, slots=True)
class PromptFailure:
    """The code of the error that prevented a prompt."""

    code: str


class _ShrunkBudget(NamedTuple):
    """The tokens of a shorter prompt with its answer, and those reserved for the answer."""

    total: int
    reserved_output: int


class UpstreamPromptBuilder:
    """Builds the prompts of chat completions."""

    def __init__(
        self,
        prompts: PromptBuilder,
        counter: Callable[[str | None], TokenCounter],
        corrections: TokenCorrections,
    ) -> None:
        self._prompts = prompts
        self._counter = counter
        self._corrections = corrections
        self._prefixes = PromptPrefixes()

    def check(self, chat: ChatRequest) -> None:
        """Raise ContextLengthExceeded if no prompt can contain the newest message."""
        self._prompts.check(self._prompt_request(chat, chat.newest_messages))

    def build(self, request: AnswerableRequest) -> UpstreamPrompt:
        """Return the prompt of a request; raises ContextLengthExceeded if it cannot fit."""
        return self._build(request, self._request_for(request))

    def shrink(
        self, request: AnswerableRequest, refused: UpstreamPrompt, refusal: bytes
    ) -> UpstreamPrompt:
        """Return a shorter prompt after the upstream has refused one; raises as `build` does."""
        budget = self._shrunk_budget(request.chat, refused, refusal)
        prompt_request = replace(
            self._request_for(request),
            token_budget=budget.total,
            max_output_tokens=budget.reserved_output,
        )
        return self._build(request, prompt_request)

    def _build(self, request: AnswerableRequest, prompt_request: PromptRequest) -> UpstreamPrompt:
        chat, conversation = request.chat, request.conversation
        prompt = self._prompts.build(request.project_key, conversation.id, prompt_request)
        counter = self._counter(chat.model)
        correction = prompt_request.correction
        return UpstreamPrompt(
            prompt=prompt,
            messages=prompt.messages,
            tokens_before=round(
                correction * count_messages(chat.chat_messages, chat.tools, counter)
            ),
            tokens_after=round(correction * prompt.tokens.total),
            prefix_tokens=0
            if isinstance(request, UnstoredConversationRequest)
            else self._prefixes.shared_tokens(conversation.key, prompt.messages, counter),
        )

    def _request_for(self, request: AnswerableRequest) -> PromptRequest:
        """Return the prompt request with the input turns, which are not recent turns."""
        history = ClientHistory(request.chat.forwarded_history, _stored_hash)
        sent = history.of_turns(request.input_turns)
        return replace(
            self._prompt_request(request.chat, input_messages(request.input_turns, sent)),
            history=history,
            stored_input=request.input_turns,
            hidden=frozenset()
            if isinstance(request, UnstoredConversationRequest)
            else request.hidden,
            unstored=UnstoredBranch(request.conversation, request.earlier_turns)
            if isinstance(request, UnstoredConversationRequest)
            else None,
        )

    def _prompt_request(self, chat: ChatRequest, messages: Sequence[Message]) -> PromptRequest:
        return PromptRequest(
            input=messages,
            instructions=None,
            model=chat.model,
            token_budget=chat.headers.token_budget,
            max_output_tokens=chat.max_output_tokens,
            tools=chat.tools,
            recent_turns=None,
            top_k=chat.headers.top_k,
            scope=chat.headers.scope,
            system=chat.system_messages,
            correction=self._corrections.of(chat.model),
        )

    def _shrunk_budget(
        self, chat: ChatRequest, refused: UpstreamPrompt, refusal: bytes
    ) -> _ShrunkBudget:
        """Return a budget below the limit that the upstream states, and learn its token count."""
        tokens = refused.prompt.tokens
        limit = context_limit(refusal)
        if limit is None:
            reserved, share = tokens.reserved_output, SHRINK
        else:
            self._corrections.learn(chat.model, tokens.total, limit.used)
            reserved = min(tokens.reserved_output, chat.max_output_tokens or limit.tokens // 4)
            room = max(0, limit.tokens - reserved)
            share = min(_LIMIT_MARGIN, _LIMIT_MARGIN * room / limit.used)
        return _ShrunkBudget(reserved + round(refused.tokens_after * share), reserved)


def _stored_hash(message: Message) -> bytes:
    """Return the hash of a message in the form in which it is stored, or of a stored item."""
    return message_hash(storable_message(message) if "role" in message else message)
