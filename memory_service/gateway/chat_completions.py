"""Answer chat completions with memory.

A request is parsed (`ChatRequest`) and located (`LocatedRequest`). Its new messages are stored
(`StoredRequest`), and a prompt is built for them (`UpstreamPrompt`) and sent to the upstream. The
answer is relayed to the caller (`AnswerRelay`) and stored below the request's turns. The package's
docstring has a table of these stages.

* Only waiting for the upstream is async; everything else runs in worker threads.
* The new messages are durable before the upstream is asked.
* If the prompt cannot be built, or memory cannot take the request, the client's own messages are
  forwarded, unless recall is strict.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.to_thread
import structlog

from memory_service.core.errors import (
    Conflict,
    ContextLengthExceeded,
    InvalidRequest,
    RecallFailed,
    ServiceError,
)
from memory_service.core.protocols import Upstream, UpstreamAnswer
from memory_service.gateway.answers import AnswerCollector
from memory_service.gateway.completion_store import (
    CompletionRecorder,
    CompletionStore,
    wants_storing,
)
from memory_service.gateway.input_turns import AnswerableRequest, StoredRequest, stop_waiting
from memory_service.gateway.locating import RequestLocator
from memory_service.gateway.read_only import RequestReader
from memory_service.gateway.relay import AnswerRelay, MemoryOutcome, SkippedMemory
from memory_service.gateway.request import ChatRequest
from memory_service.gateway.storing import AnswerStorer, RequestStorer
from memory_service.gateway.upstream_prompts import (
    PromptFailure,
    UpstreamPrompt,
    UpstreamPromptBuilder,
)
from memory_service.upstreams.refusals import is_too_long
from memory_service.upstreams.table import UpstreamTable
from memory_service.upstreams.token_corrections import TokenCorrections

logger = structlog.get_logger(__name__)

A = TypeVar("A", bound=UpstreamAnswer)


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How long building a prompt may take, and whether a failure refuses the request."""

    recall_timeout_seconds: float
    strict_recall: bool


@dataclass(frozen=True, slots=True)
class GatewayStages:
    """The objects that perform the stages of a request."""

    locator: RequestLocator
    request_storer: RequestStorer
    request_reader: RequestReader
    prompts: UpstreamPromptBuilder
    answer_storer: AnswerStorer
    completions: CompletionStore


@dataclass(frozen=True, slots=True)
class Exchange(Generic[A]):
    """What the upstream answered; `refusal` is the body of an answer with an error status.

    `skipped` is set, and `outcome` None, for a request that memory could not take.
    """

    answer: A
    refusal: bytes
    outcome: MemoryOutcome | None
    skipped: SkippedMemory | None = None


class Gateway:
    """Answers chat completions with memory."""

    def __init__(
        self,
        upstreams: UpstreamTable,
        stages: GatewayStages,
        corrections: TokenCorrections,
        options: GatewayOptions,
    ) -> None:
        self.upstreams = upstreams
        self._stages = stages
        self._corrections = corrections
        self._options = options

    async def close(self) -> None:
        """Close the connections to the upstreams."""
        await self.upstreams.close()

    async def complete(self, project_key: int, chat: ChatRequest) -> AnswerRelay:
        """Answer a chat completion; raises a ServiceError if the upstream was not asked."""
        upstream, chat = await self.routed(chat)
        exchange = await self.exchange(project_key, chat, partial(_ask, upstream, chat))
        outcome = exchange.outcome or exchange.skipped
        recorder = CompletionRecorder() if wants_storing(chat) else None
        store = partial(self._store_answer, project_key, chat, exchange.outcome)
        return AnswerRelay(exchange.answer, exchange.refusal, outcome, store, recorder)

    async def routed(self, chat: ChatRequest) -> tuple[Upstream, ChatRequest]:
        """Return the upstream of a request, and the request with the model's name there."""
        upstream, model = await self.upstreams.route(chat.model, chat.upstream_name)
        return upstream, chat.for_model(model)

    async def exchange(
        self,
        project_key: int,
        chat: ChatRequest,
        ask: Callable[[MemoryOutcome | None], Awaitable[A]],
    ) -> Exchange[A]:
        """Store and prompt a request, and ask the upstream, with a shorter prompt if it refuses.

        `ask` sends the request with a prompt, or as it is for None. Raises a ServiceError if the
        upstream was not asked.
        """
        remembered = await self._remember(project_key, chat)
        if isinstance(remembered, SkippedMemory):
            exchange = await self._asked(None, ask)
            return replace(exchange, skipped=remembered)
        with _ended_if_raised(None if remembered is None else remembered.request):
            return await self._asked(remembered, ask)

    async def _asked(
        self,
        outcome: MemoryOutcome | None,
        ask: Callable[[MemoryOutcome | None], Awaitable[A]],
    ) -> Exchange[A]:
        """Ask the upstream, and again with a shorter prompt if it refuses one as too long."""
        answer = await ask(outcome)
        refusal = await _refusal(answer)
        if is_too_long(answer.status, refusal) and (
            outcome is not None and isinstance(outcome.prompt, UpstreamPrompt)
        ):
            logger.info(
                "the upstream refused the prompt as too long", tokens=outcome.prompt.tokens_after
            )
            shorter = await anyio.to_thread.run_sync(
                self._stages.prompts.shrink, outcome.request, outcome.prompt, refusal
            )
            outcome = replace(outcome, prompt=shorter)
            answer = await ask(outcome)
            refusal = await _refusal(answer)
        return Exchange(answer, refusal, outcome)

    def learn_tokens(self, outcome: MemoryOutcome, prompt_tokens: int | None) -> None:
        """Learn how the upstream counts, from its count of a prompt's tokens."""
        if isinstance(outcome.prompt, UpstreamPrompt):
            counted = outcome.prompt.prompt.tokens.total
            self._corrections.learn(outcome.request.chat.model, counted, prompt_tokens)

    async def _remember(
        self, project_key: int, chat: ChatRequest
    ) -> MemoryOutcome | SkippedMemory | None:
        """Store the new messages and build the prompt; None if the request is without memory."""
        if chat.unreadable is not None:
            return None if chat.headers.mode == "off" else SkippedMemory(chat.unreadable)
        if not chat.has_memory:
            return None
        started = time.perf_counter()
        try:
            request = await anyio.to_thread.run_sync(self._located_and_stored, project_key, chat)
        except ContextLengthExceeded:
            raise
        except (InvalidRequest, Conflict) as error:
            if self._options.strict_recall or not chat.may_skip_memory:
                raise
            logger.warning("memory cannot take a request", error=error.message, code=error.code)
            return SkippedMemory(error.code)
        if request is None:
            return None
        with _ended_if_raised(request):
            prompt = await self._prompt_in_time(request)
            if isinstance(prompt, PromptFailure) and self._options.strict_recall:
                raise RecallFailed(
                    f"The prompt could not be built ({prompt.code}), "
                    "and MEMORY_STRICT_RECALL is set."
                )
        return MemoryOutcome(request, prompt, (time.perf_counter() - started) * 1000)

    def _located_and_stored(self, project_key: int, chat: ChatRequest) -> AnswerableRequest | None:
        """Locate a request and store its new messages, unless no prompt can contain them."""
        self._stages.prompts.check(chat)
        with self._stages.locator.located(project_key, chat) as located:
            if located is None:
                return None
            if chat.headers.mode == "read":
                return self._stages.request_reader.read(located)
            request = self._stages.request_storer.store(located)
            turns = request.appended or request.input_turns
            pending = self._stages.locator.pending.add(
                request.conversation.key, [turn.key for turn in turns]
            )
            return replace(request, pending=pending)

    async def _prompt_in_time(self, request: AnswerableRequest) -> UpstreamPrompt | PromptFailure:
        seconds = self._options.recall_timeout_seconds
        with anyio.move_on_after(seconds):
            return await anyio.to_thread.run_sync(self._prompt, request, abandon_on_cancel=True)
        logger.warning("recall timed out", seconds=seconds)
        return PromptFailure("timeout")

    def _prompt(self, request: AnswerableRequest) -> UpstreamPrompt | PromptFailure:
        """Return the prompt, or the failure of the service; errors of the caller are raised."""
        try:
            return self._stages.prompts.build(request)
        except ServiceError as error:
            if error.status < 500:
                raise
            logger.warning("recall failed", error=error.message, code=error.code)
            return PromptFailure(error.code)
        except Exception:
            # A bug in recall must not stop a conversation that can continue without it.
            logger.exception("recall raised an unexpected error")
            return PromptFailure("internal_error")

    def _store_answer(
        self,
        project_key: int,
        chat: ChatRequest,
        outcome: MemoryOutcome | None,
        answers: AnswerCollector,
    ) -> str | None:
        """Store an answer, and its completion if asked to; returns the code of an error."""
        error = self._remember_answer(outcome, answers)
        if not isinstance(answers, CompletionRecorder):
            return error
        is_stored = outcome is not None and isinstance(outcome.request, StoredRequest)
        conversation_key = outcome.request.conversation.key if outcome and is_stored else None
        try:
            self._stages.completions.add(project_key, conversation_key, chat, answers)
        except ServiceError as failure:
            logger.warning("a completion was not stored", error=failure.message, code=failure.code)
            return "completion_not_stored"
        return error

    def _remember_answer(
        self, outcome: MemoryOutcome | None, answers: AnswerCollector
    ) -> str | None:
        """Store an answer and learn how the upstream counts; returns the code of an error."""
        if outcome is None:
            return None
        prompt = outcome.prompt if isinstance(outcome.prompt, UpstreamPrompt) else None
        try:
            self.learn_tokens(outcome, answers.prompt_tokens)
            if isinstance(outcome.request, StoredRequest):
                recalled = () if prompt is None else prompt.recalled_texts
                self._stages.answer_storer.store(outcome.request, answers, recalled)
        except ServiceError as error:
            # The caller has the answer already, or is about to get it.
            logger.warning("an answer was not stored", error=error.message, code=error.code)
            return "answer_not_stored"
        finally:
            stop_waiting(outcome.request)
        return None


@contextmanager
def _ended_if_raised(request: AnswerableRequest | None) -> Iterator[None]:
    """Stop waiting for the answer to a request if an error or its caller ends it."""
    with ExitStack() as stack:
        stack.callback(stop_waiting, request)
        yield
        stack.pop_all()


async def _ask(
    upstream: Upstream, chat: ChatRequest, outcome: MemoryOutcome | None
) -> UpstreamAnswer:
    """Send a request with its prompt, or as the client sent it if there is none."""
    prompt = None if outcome is None else outcome.prompt
    messages = prompt.messages if isinstance(prompt, UpstreamPrompt) else None
    content = chat.forwarded_body(messages)
    return await upstream.complete(
        content, chat.authorization, chat.forwarded_headers, model=chat.model
    )


async def _refusal(answer: UpstreamAnswer) -> bytes:
    """Return the body of an answer with an error status, and close it; else nothing."""
    if answer.status < 400:
        return b""
    try:
        return await answer.read()
    finally:
        await answer.close()
