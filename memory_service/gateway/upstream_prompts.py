"""Build the prompts that replace the client's messages in requests to the upstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cachetools import LRUCache

from memory_service.core.errors import ContextLengthExceeded
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
from memory_service.items.vendor_fields import vendor_fields
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.client_history import ClientHistory
from memory_service.prompts.request import PromptRequest, UnstoredBranch
from memory_service.tokens.counting import TokenCounter, count_messages
from memory_service.tokens.media_parts import has_media
from memory_service.upstreams.refusals import Refusal
from memory_service.upstreams.token_corrections import TokenCorrections

SHRINK = 0.6
"""The share of a refused prompt that is kept if the upstream does not state its limit."""

_INVALID = (400, 422)
_MAX_MODELS = 1_000

_LIMIT_MARGIN = 0.95
"""The share of a stated limit that is used."""


@dataclass(frozen=True, slots=True)
class UpstreamPrompt:
    """A prompt as it is forwarded, and its tokens as the upstream counts them.

    `tokens_before` counts the client's messages, `tokens_after` the prompt, and `prefix_tokens` the
    beginning that the previous prompt had too. The tokens of media are only estimated.
    """

    prompt: Prompt
    messages: Sequence[Message]
    tokens_before: int
    tokens_after: int
    prefix_tokens: int
    has_media: bool

    def names_vendor_field(self, refusal: bytes, own: Sequence[Message]) -> bool:
        """Return whether a refusal names a vendor's field in a message that is not one of `own`."""
        sent = {id(message) for message in own}
        names = {
            name
            for message in self.messages
            if message["role"] in ("assistant", "tool") and id(message) not in sent
            for name in vendor_fields(message)
        }
        text = refusal.decode("utf-8", "replace")
        return any(name in text for name in names)

    @property
    def recalled_texts(self) -> Sequence[str]:
        """The texts in the recalled block."""
        return [hit.turn.text[hit.start : hit.end] for hit in self.prompt.recalled]


@dataclass(frozen=True, slots=True)
class PromptFailure:
    """The code of the error that prevented a prompt."""

    code: str


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
        self._refusing_models: LRUCache[str | None, bool] = LRUCache(_MAX_MODELS)

    def check(self, chat: ChatRequest) -> None:
        """Raise ContextLengthExceeded if no prompt can contain the newest message."""
        self._prompts.check(self._prompt_request(chat, chat.newest_messages))

    def build(self, request: AnswerableRequest) -> UpstreamPrompt:
        """Return the prompt of a request; raises ContextLengthExceeded if it cannot fit."""
        return self._build(request, self._request_for(request))

    def shrink(
        self, request: AnswerableRequest, refused: UpstreamPrompt, refusal: Refusal
    ) -> UpstreamPrompt | None:
        """Return a shorter prompt after the upstream has refused one.

        None if none can be accepted: what must be in the prompt, or what the client allows the
        answer, exceeds the limit already. What the refusal states must have been learned before.
        """
        budget = _shrunk_budget(request.chat, refused, refusal)
        if budget is None:
            return None
        prompt_request = replace(
            self._request_for(request),
            token_budget=budget.total,
            max_output_tokens=budget.reserved_output,
        )
        try:
            prompt = self._build(request, prompt_request)
        except ContextLengthExceeded:
            return None
        is_shorter = prompt.prompt.tokens.total < refused.prompt.tokens.total
        return prompt if is_shorter else None

    def without_vendor_fields(
        self, request: AnswerableRequest, refused: UpstreamPrompt, status: int, refusal: bytes
    ) -> UpstreamPrompt | None:
        """Return the prompt without the vendors' fields of stored turns, if one was refused.

        A conversation that goes on with another model has the fields of the one before.
        """
        own = request.chat.forwarded_history
        if status not in _INVALID or not refused.names_vendor_field(refusal, own):
            return None
        return self._build(request, replace(self._request_for(request), vendor_fields=False))

    def expect_refusal(self, model: str | None) -> None:
        """Remember that a model refuses the vendors' fields of others."""
        self._refusing_models[model] = True

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
            has_media=has_media(prompt.messages),
        )

    def _request_for(self, request: AnswerableRequest) -> PromptRequest:
        """Return the prompt request with the input turns, which are not recent turns."""
        history = ClientHistory(request.chat.forwarded_history, _stored_hash)
        sent = history.of_turns(request.input_turns)
        return replace(
            self._prompt_request(request.chat, input_messages(request.input_turns, sent)),
            history=history,
            vendor_fields=request.chat.model not in self._refusing_models,
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
            top_k=chat.headers.top_k,
            scope=chat.headers.scope,
            system=chat.system_messages,
            correction=self._corrections.of(chat.model),
            is_forwarded=True,
            upstream_name=chat.upstream_name,
        )


def _stored_hash(message: Message) -> bytes:
    """Return the hash of a message in the form in which it is stored, or of a stored item."""
    return message_hash(storable_message(message) if "role" in message else message)


class _ShrunkBudget(NamedTuple):
    """The tokens of a shorter prompt with its answer, and those reserved for the answer, if set."""

    total: int
    reserved_output: int | None


def _shrunk_budget(
    chat: ChatRequest, refused: UpstreamPrompt, refusal: Refusal
) -> _ShrunkBudget | None:
    """Return the budget of a shorter prompt, None if the answer alone takes all of it."""
    reserved, sent = refused.prompt.tokens.reserved_output, refused.tokens_after
    shrunk = _ShrunkBudget(reserved + round(SHRINK * sent), reserved)
    if refusal.window is None:
        if refusal.over is None or refusal.over >= sent:
            return shrunk
        return _ShrunkBudget(reserved + round(_LIMIT_MARGIN * (sent - refusal.over)), reserved)
    if refusal.counts_answer and (refusal.output or 0) >= refusal.window:
        return None
    limit = round(_LIMIT_MARGIN * refusal.window)
    budget = (
        _ShrunkBudget(limit, chat.max_output_tokens)
        if refusal.counts_answer
        else _ShrunkBudget(limit + reserved, reserved)
    )
    is_within = sent + reserved <= budget.total
    return shrunk if refusal.prompt is None and is_within else budget
