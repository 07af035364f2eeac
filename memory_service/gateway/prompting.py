"""The prompt that goes upstream instead of what the client sent, within its time and budget."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from memory_service.core.models import Prompt
from memory_service.gateway.intake import Question
from memory_service.gateway.prefix_reuse import Prefixes
from memory_service.gateway.request import ChatRequest
from memory_service.gateway.token_corrections import Corrections
from memory_service.items.chat_messages import Message, alternating, input_messages
from memory_service.prompts.builder import PromptBuilder
from memory_service.prompts.request import PromptRequest, UnstoredBranch
from memory_service.tokens.counting import TokenCounter, count_messages

SHRINK = 0.6
"""Of a prompt that was too long, this much is sent to an upstream that does not say its limit."""

_SHRINK_MARGIN = 0.95
_TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size)|(prompt|input|request).{0,20} too (long|large)"
    r"|too many tokens",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"maximum context length is (\d{1,9}) tokens", re.IGNORECASE)
_USED = re.compile(r"(?:resulted in|requested) (\d{1,9}) tokens", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt as it is sent, with what the response's headers say of it, in tokens."""

    prompt: Prompt
    messages: Sequence[Message]
    before: int
    after: int
    shared: int


class Prompting:
    """Builds the prompts of chat completions."""

    def __init__(
        self,
        prompts: PromptBuilder,
        counter: Callable[[str | None], TokenCounter],
        corrections: Corrections,
    ) -> None:
        self._prompts = prompts
        self._counter = counter
        self._corrections = corrections
        self._prefixes = Prefixes()

    def check(self, request: ChatRequest) -> None:
        """Raise ContextLengthExceeded if the newest message can be in no prompt."""
        self._prompts.check(self._wanted(request, [message for _, message in request.said[-1:]]))

    def prepare(
        self,
        question: Question,
        request: ChatRequest,
        budget: tuple[int, int] | None = None,
    ) -> Prepared:
        """Return the prompt for a question; raises ContextLengthExceeded if it cannot fit.

        `budget` is (the whole, what is kept free for the answer), if not what the request says.
        """
        wanted = replace(
            self._wanted(request, input_messages(question.input)),
            stored_input=question.input,
            unstored=None
            if question.before is None
            else UnstoredBranch(question.conversation, question.before),
        )
        if budget is not None:
            wanted = replace(wanted, token_budget=budget[0], max_output_tokens=budget[1])
        prompt = self._prompts.build(question.project_key, question.conversation.id, wanted)
        correction = wanted.correction
        counter = self._counter(request.model)
        messages = alternating(prompt.messages)
        return Prepared(
            prompt=prompt,
            messages=messages,
            before=round(correction * count_messages(request.messages, request.tools, counter)),
            after=round(correction * prompt.tokens.total),
            shared=0
            if wanted.unstored
            else self._prefixes.shared_tokens(question.conversation.key, messages, counter),
        )

    def _wanted(self, request: ChatRequest, new: Sequence[Message]) -> PromptRequest:
        return PromptRequest(
            input=new,
            instructions=None,
            model=request.model,
            token_budget=request.headers.token_budget,
            max_output_tokens=request.max_output_tokens,
            tools=request.tools,
            recent_turns=None,
            top_k=request.headers.top_k,
            scope=request.headers.scope,
            system=request.system,
            correction=self._corrections.of(request.model),
        )

    def shrink(
        self, question: Question, request: ChatRequest, before: Prepared, refusal: bytes
    ) -> Prepared:
        """Return a shorter prompt after the upstream has refused one as too long."""
        tokens = before.prompt.tokens
        limit, used = _LIMIT.search(_message(refusal)), _USED.search(_message(refusal))
        share, reserved = SHRINK, tokens.reserved_output
        if limit and used and int(used[1]) > 0:
            self._corrections.learn(request.model, tokens.total, int(used[1]))
            reserved = min(reserved, request.max_output_tokens or int(limit[1]) // 4)
            room = max(0, int(limit[1]) - reserved)
            share = min(_SHRINK_MARGIN, _SHRINK_MARGIN * room / int(used[1]))
        return self.prepare(question, request, (reserved + round(before.after * share), reserved))


def is_too_long(status: int, content: bytes) -> bool:
    """Return whether an upstream refuses a prompt for its length, in whatever words."""
    if status not in (400, 413, 422):
        return False
    return "context_length_exceeded" in str(_code(content)) or bool(
        _TOO_LONG.search(_message(content))
    )


def _error(content: bytes) -> dict[str, object]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    error = value.get("error", value) if isinstance(value, dict) else value
    return error if isinstance(error, dict) else {"message": error}


def _message(content: bytes) -> str:
    return str(_error(content).get("message") or "")


def _code(content: bytes) -> object:
    return _error(content).get("code")
