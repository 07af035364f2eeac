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
from typing import TypeVar

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
from memory_service.gateway.attempts import UpstreamAttempts
from memory_service.gateway.completion_store import (
    CompletionRecorder,
    CompletionStore,
    wants_storing,
)
from memory_service.gateway.input_turns import (
    AnswerableRequest,
    ReadOnlyRequest,
    StoredRequest,
    stop_waiting,
)
from memory_service.gateway.locating import LocatedRequest, RequestLocator
from memory_service.gateway.read_only import RequestReader
from memory_service.gateway.relay import (
    AnswerRelay,
    Exchange,
    MemoryOutcome,
    SkippedMemory,
    StoredAnswer,
)
from memory_service.gateway.request import ChatRequest
from memory_service.gateway.storing import AnswerStorer, RequestStorer
from memory_service.gateway.upstream_prompts import (
    PromptFailure,
    UpstreamPrompt,
    UpstreamPromptBuilder,
)
from memory_service.upstreams.learner import UpstreamLearner, UsageWarning
from memory_service.upstreams.table import UpstreamTable
from memory_service.upstreams.window_probe import WindowProbe
from memory_service.upstreams.windows import ModelKey

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


class Gateway:
    """Answers chat completions with memory."""

    def __init__(
        self,
        upstreams: UpstreamTable,
        stages: GatewayStages,
        learner: UpstreamLearner,
        window_probe: WindowProbe,
        options: GatewayOptions,
    ) -> None:
        self.upstreams = upstreams
        self._stages = stages
        self._learner = learner
        self._window_probe = window_probe
        self._options = options

    async def close(self) -> None:
        """Close the connections to the upstreams."""
        await self._window_probe.close()
        await self.upstreams.close()

    async def complete(self, project_key: int, chat: ChatRequest) -> AnswerRelay:
        """Answer a chat completion; raises a ServiceError if the upstream was not asked."""
        upstream, chat = await self.routed(chat)
        attempts = self._attempts(chat, partial(_ask, upstream, chat))
        exchange = await self._first(project_key, chat, attempts)
        recorder = CompletionRecorder() if wants_storing(chat) else None
        store = partial(self._store_answer, project_key, chat)
        return AnswerRelay(exchange, store, attempts.again, recorder)

    async def routed(self, chat: ChatRequest) -> tuple[Upstream, ChatRequest]:
        """Return the upstream of a request, and the request with the names of both there."""
        upstream, model = await self.upstreams.route(chat.model, chat.upstream_name)
        return upstream, replace(chat.for_model(model), upstream_name=upstream.name)

    async def exchange(
        self,
        project_key: int,
        chat: ChatRequest,
        ask: Callable[[MemoryOutcome | None], Awaitable[A]],
    ) -> Exchange[A]:
        """Store and prompt a routed request, and ask the upstream, again if it refuses the length.

        `ask` sends the request with a prompt, or as it is for None. Raises a ServiceError if the
        upstream was not asked.
        """
        return await self._first(project_key, chat, self._attempts(chat, ask))

    def learn_tokens(
        self, outcome: MemoryOutcome, prompt_tokens: int | None, *, is_shown: bool = False
    ) -> UsageWarning | None:
        """Learn from the upstream's count of a prompt's tokens; return what is wrong, if anything.

        A warning that is not shown with this answer is shown with the model's next one.
        """
        if not isinstance(outcome.prompt, UpstreamPrompt):
            return None
        return self._learner.learn_usage(
            _model_key(outcome.request.chat),
            outcome.prompt.prompt.tokens.total,
            prompt_tokens,
            has_media=outcome.prompt.has_media,
            is_shown=is_shown,
        )

    def _attempts(
        self, chat: ChatRequest, ask: Callable[[MemoryOutcome | None], Awaitable[A]]
    ) -> UpstreamAttempts[A]:
        return UpstreamAttempts(_model_key(chat), ask, self._stages.prompts, self._learner)

    async def _first(
        self, project_key: int, chat: ChatRequest, attempts: UpstreamAttempts[A]
    ) -> Exchange[A]:
        remembered = await self._remember(project_key, chat)
        key = _model_key(chat)
        if isinstance(remembered, SkippedMemory):
            exchange = replace(await attempts.first(None), skipped=remembered)
        elif remembered is None:
            exchange = await attempts.first(None)
        else:
            outcome = replace(remembered, warning=self._learner.unreported_warning(key))
            with _ended_if_raised(outcome.request):
                exchange = await attempts.first(outcome)
        self._window_probe.ask_soon(key)
        return exchange

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
                return self._read_only(located)
            request = self._stages.request_storer.store(located)
            keys = request.asked_keys or [turn.key for turn in request.input_turns]
            pending = self._stages.locator.pending.add(request.conversation.key, keys)
            return replace(request, pending=pending)

    def _read_only(self, located: LocatedRequest) -> AnswerableRequest | None:
        """Return a request that stores nothing; it does not see what others wait for."""
        request = self._stages.request_reader.read(located)
        if not isinstance(request, ReadOnlyRequest):
            return request
        return replace(request, hidden=self._stages.locator.pending.keys(request.conversation.key))

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
    ) -> StoredAnswer:
        """Store an answer, and its completion if asked to."""
        stored = self._remember_answer(outcome, answers)
        if not isinstance(answers, CompletionRecorder):
            return stored
        is_stored = outcome is not None and isinstance(outcome.request, StoredRequest)
        conversation_key = outcome.request.conversation.key if outcome and is_stored else None
        try:
            self._stages.completions.add(project_key, conversation_key, chat, answers)
        except ServiceError as failure:
            logger.warning("a completion was not stored", error=failure.message, code=failure.code)
            return stored._replace(error="completion_not_stored")
        return stored

    def _remember_answer(
        self, outcome: MemoryOutcome | None, answers: AnswerCollector
    ) -> StoredAnswer:
        """Store an answer, and learn from its usage."""
        if outcome is None:
            return StoredAnswer()
        prompt = outcome.prompt if isinstance(outcome.prompt, UpstreamPrompt) else None
        is_stream = bool(outcome.request.chat.body.get("stream"))
        warning = None
        try:
            warning = self.learn_tokens(outcome, answers.prompt_tokens, is_shown=not is_stream)
            if isinstance(outcome.request, StoredRequest):
                recalled = () if prompt is None else prompt.recalled_texts
                self._stages.answer_storer.store(outcome.request, answers, recalled)
        except ServiceError as error:
            # The caller has the answer already, or is about to get it.
            logger.warning("an answer was not stored", error=error.message, code=error.code)
            return StoredAnswer("answer_not_stored", warning)
        finally:
            stop_waiting(outcome.request)
        return StoredAnswer(None, warning)


def _model_key(chat: ChatRequest) -> ModelKey:
    """Return the model and the upstream of a routed request."""
    return ModelKey(chat.upstream_name or "", chat.model or "")


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
